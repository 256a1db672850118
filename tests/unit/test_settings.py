"""Settings: the table in the docs is the class, and sources weigh in the order they say."""

import re
from pathlib import Path

import pytest

from app.cli import main
from app.settings import Settings, settings

TABLE = Path(__file__).parents[2] / "docs" / "settings.md"
COMPUTED = {"data_dir"}
"""Defaults that depend on who runs it."""


def rows() -> dict[str, tuple[str, str]]:
    found = re.findall(r"^\| `JEVONS_(\w+)` \| (.*?) \| (.*) \|$", TABLE.read_text(), re.MULTILINE)
    return {name.lower(): (default, meaning) for name, default, meaning in found}


def as_written(default: object) -> str:
    if default is None:
        return ""
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def test_the_table_lists_every_setting_with_its_default_and_meaning() -> None:
    expected = {
        name: (as_written(field.default), field.description)
        for name, field in Settings.model_fields.items()
        if name not in COMPUTED
    }
    assert {name: row for name, row in rows().items() if name not in COMPUTED} == expected
    assert set(rows()) == set(Settings.model_fields)


def test_arguments_weigh_more_than_environment_than_dotenv_than_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("JEVONS_PORT", "JEVONS_HOST", "JEVONS_WORKERS", "JEVONS_SMTP_FROM"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "jevons.toml").write_text('port = 1\nhost = "toml"\nworkers = 5\nsmtp_from = "toml@example.org"\n')
    (tmp_path / ".env").write_text("JEVONS_PORT=2\nJEVONS_HOST=dotenv\nJEVONS_WORKERS=6\n")
    monkeypatch.setenv("JEVONS_PORT", "3")
    monkeypatch.setenv("JEVONS_HOST", "environment")
    found = Settings(port=4)
    assert (found.port, found.host, found.workers, found.smtp_from) == (4, "environment", 6, "toml@example.org")


def test_passwords_in_addresses_are_not_shown() -> None:
    assert "hunter2" not in repr(Settings(database_url="postgresql://u:hunter2@h/d"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value", "says"), [
    pytest.param("CURRENCY", "EUR", "amounts are USD", id="nothing-converts"),
    pytest.param("TIMEZONE", "Mars/Olympus", "no zone 'Mars/Olympus'", id="no-such-zone"),
    pytest.param("TIMEZONE", "Europe", "no zone 'Europe'", id="a-folder-of-zones"),
    pytest.param("TIMEZONE", "../etc/passwd", "no zone", id="outside-of-the-database"),
    pytest.param("TIMEZONE", "", "no zone", id="an-empty-zone"),
    pytest.param("SECRET_KEY", "", "openssl rand", id="an-empty-key-signs-for-everybody"),
])  # fmt: skip
def test_a_value_that_would_do_nothing_or_harm_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"JEVONS_{name}", value)
    monkeypatch.setattr("sys.argv", ["jevons", "settings"])
    settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"JEVONS_{name}: " in told
    assert says in told


def test_a_zone_by_its_name_is_taken() -> None:
    assert Settings(timezone="Europe/Berlin").timezone == "Europe/Berlin"
