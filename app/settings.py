"""Settings: one class, read from the environment (`JEVONS_…`), `.env` and `jevons.toml`, in that order of weight."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource


def default_data_dir() -> Path:
    """Where embedded servers keep their data: `/var/lib/jevons` for root, else the user's data directory.

    Root's own home is closed to the unprivileged user that PostgreSQL must run as.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/jevons")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "jevons"


class Settings(BaseSettings):
    """Every setting of the product. The table in docs/settings.md is checked against this class."""

    model_config = SettingsConfigDict(
        env_prefix="JEVONS_", env_file=".env", toml_file="jevons.toml", extra="ignore", validate_default=True
    )

    database_url: SecretStr | None = Field(default=None, description="PostgreSQL; unset: an embedded one is started.")
    redis_url: SecretStr | None = Field(default=None, description="Redis or Valkey; unset: an embedded one is started.")
    data_dir: Path = Field(default_factory=default_data_dir, description="Data of the embedded servers, keys, locks.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    allowed_hosts: str = Field(
        default="", description="Further names, comma-separated, by which an instance without logins may be asked."
    )
    port: int = Field(default=4318, description="HTTP: collector, API and UI.")
    grpc_port: int = Field(default=4317, description="OTLP over gRPC.")
    api_processes: int = Field(
        default=1, ge=1, description="Processes that share the HTTP port; more than one needs SO_REUSEPORT (Linux)."
    )
    workers: int = Field(default=2, ge=1, description="Celery worker processes.")
    auth: Literal["auto", "required", "off"] = Field(
        default="auto", description="auto: open on loopback, required elsewhere; required: keys and logins; off: open."
    )
    secret_key: SecretStr | None = Field(
        default=None, description="Signs login sessions; unset: a random one is kept in the data directory."
    )
    capture_content: Literal["drop", "keep"] = Field(
        default="drop", description="Whether prompts, completions and tool arguments are stored."
    )
    currency: str = Field(
        default="USD", description="Currency of all amounts: USD; other reporting currencies are not built."
    )
    timezone: str = Field(default="UTC", description="Zone of budget periods; charts, close and exports are UTC.")
    retention_days: int = Field(default=400, ge=1, description="Days that spans are kept, at least until their close.")
    max_body_bytes: int = Field(default=64 * 2**20, description="Largest OTLP body, compressed or inflated.")
    max_queue_bytes: int = Field(default=32 * 2**20, description="Bytes waiting for commit before 503 is answered.")
    max_span_age_days: int = Field(default=400, description="Older spans are rejected by the network collector.")
    max_span_future_minutes: int = Field(default=60, description="Spans further in the future are rejected.")
    allow_private_webhooks: bool = Field(default=False, description="Whether webhooks may go to private addresses.")
    smtp_url: SecretStr | None = Field(default=None, description="Mail server of e-mail alerts: smtp://… or smtps://….")
    smtp_from: str = Field(default="jevons@localhost", description="Sender of e-mail alerts.")
    log_level: str = Field(default="INFO", description="Level of the logs on standard error.")

    @field_validator("secret_key")
    @classmethod
    def secret_key_is_secret(cls, key: SecretStr | None) -> SecretStr | None:
        """An empty key would let everybody sign a session."""
        if key is not None and not key.get_secret_value():
            raise ValueError("it is empty; unset it, or make one with `openssl rand -hex 32`")
        return key

    @field_validator("currency")
    @classmethod
    def currency_is_usd(cls, currency: str) -> str:
        """Nothing converts amounts: another name on them would be wrong."""
        if currency != "USD":
            raise ValueError(f"{currency!r} cannot be had: amounts are USD, other reporting currencies are not built")
        return currency

    @field_validator("timezone")
    @classmethod
    def timezone_is_known(cls, timezone: str) -> str:
        """A zone of the IANA database. UTC is not looked up: a machine without that database starts as well."""
        if timezone != "UTC":
            try:
                ZoneInfo(timezone)
            except (KeyError, ValueError, OSError) as unknown:
                raise ValueError(f"there is no zone {timezone!r}; write one such as Europe/Berlin") from unknown
        return timezone

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then `.env`, then `jevons.toml`."""
        return (init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls))


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
