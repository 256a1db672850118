"""Whether keys and logins are asked for: no on loopback, yes everywhere else."""

import ipaddress
from functools import lru_cache

from app.settings import Settings
from models.core.errors import JevonsError


class OpenToTheNetwork(JevonsError):
    """Start-up refused: everybody on the network could read and write."""

    code = "open_to_the_network"
    exit_code = 2


class NobodyMayEnter(JevonsError):
    """Start-up refused: credentials are required and there are none."""

    code = "nobody_may_enter"
    exit_code = 2

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            f"keys and logins are required on {settings.host} and there are none yet. Make them first: "
            f"`jevons users create NAME --role admin --data-dir {settings.data_dir}` and "
            f"`jevons keys create NAME --data-dir {settings.data_dir}`."
        )


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_required(settings: Settings) -> bool:
    """Whether keys and logins are asked for."""
    return settings.auth == "required" or (settings.auth == "auto" and not is_loopback(settings.host))


def refuse_open_network(settings: Settings) -> None:
    """Stop a start-up that would let everybody on the network in.

    Raises   OpenToTheNetwork where authentication is off and the address is not loopback.
    """
    if settings.auth == "off" and not is_loopback(settings.host):
        raise OpenToTheNetwork(
            f"JEVONS_AUTH=off and --host {settings.host} would let everybody on the network read and write. "
            "Use --host 127.0.0.1, or JEVONS_AUTH=auto with keys (`jevons keys create`) and users "
            "(`jevons users create`)."
        )
