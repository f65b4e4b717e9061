"""Whom a server can be reached by."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address is that of this machine alone; a name other than localhost may mean anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
