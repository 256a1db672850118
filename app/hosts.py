"""Who an open instance answers to: names that only this machine or its network could have given it.

Without logins, loopback is all that keeps strangers out. A web page can point a name of its own at 127.0.0.1 (DNS
rebinding) and have the browser ask us in its name; the Host header gives it away.
"""

import ipaddress
from functools import lru_cache

from app.settings import Settings


def is_own_host(header: str | None, settings: Settings) -> bool:
    """Whether a Host header names us.

    An address cannot be rebound, and a name without a dot cannot be had on the public DNS; any other name is ours only
    where JEVONS_HOST or JEVONS_ALLOWED_HOSTS says so. No header at all: no browser.
    """
    return header is None or _is_own(header, settings.host, settings.allowed_hosts)


@lru_cache(maxsize=1000)
def _is_own(header: str, host: str, allowed_hosts: str) -> bool:
    name = header.strip().lower()
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return True
    allowed = {host.lower(), *(each.strip().lower() for each in allowed_hosts.split(","))}
    return "." not in name.rstrip(".") or name.endswith(".localhost") or name in allowed - {""}
