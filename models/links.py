"""What could tie a request's account to others, as `<link type>:<link value>`."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from models.request import Request

#: Links of one request that are followed: a card, an organisation, devices, address and client.
#: Who sends more link types than these gets the first in alphabetical order.
_TOLD_LINKS_MAX: Final = 6
#: A link's key is cut here; what follows could only be made up.
LINK_CHARS_MAX: Final = 200
#: As long as an address can be written (RFC 4291, with its last four bytes as those of IPv4 are).
#: What is longer is none, and a gateway that takes it from a header takes it from anybody.
_ADDRESS_CHARS_MAX: Final = 45
#: A byte of an address as it is written, without zeros before it.
_BYTES: Final = frozenset(str(n) for n in range(256))


def links_of(request: Request) -> list[str]:
    """Return the keys of what could tie a request's account to others, in a fixed order.

    >>> links_of(Request(0.0, "r", "a", "view", links={"org": "x.example"}, ip="10.1.2.3"))
    ['org:x.example', 'range:10.1.2.0/24']
    """
    links, ip, ja4, asn = request.links, request.ip, request.ja4, request.asn
    names = sorted(links)[:_TOLD_LINKS_MAX]
    found = [f"{name}:{links[name]}"[:LINK_CHARS_MAX] for name in names if links[name]]
    if ip:
        network = network_of(ip)
        if network is not None:
            found.append(network)
    if ja4 and asn is not None:
        found.append(f"client:{ja4}|{asn}"[:LINK_CHARS_MAX])
    return found


def address_of(request: Request) -> str:
    """Return the client's address as it is kept; empty if there is none."""
    ip = request.ip
    return ip if ip is not None and len(ip) <= _ADDRESS_CHARS_MAX else ""


def network_of(ip: str) -> str | None:
    """Return the /24 or /48 that an address lies in, `None` if it is no address.

    >>> network_of("10.1.2.3"), network_of("10.1.2.03"), network_of("2001:db8:1:2::3")
    ('range:10.1.2.0/24', None, 'range:2001:db8:1::/48')
    """
    if len(ip) > _ADDRESS_CHARS_MAX:
        return None
    parts = ip.split(".")
    if len(parts) == 4:
        # The usual kind, in a twentieth of the time that it takes below.
        for part in parts:
            if part not in _BYTES:
                break
        else:
            return f"range:{parts[0]}.{parts[1]}.{parts[2]}.0/24"
    return network_of_v6(ip)


#: Addresses come again within moments; 16 Ki of them are 3 MB.
@lru_cache(maxsize=1 << 14)
def network_of_v6(ip: str) -> str | None:
    """Return the /48 that an address of the newer kind lies in."""
    try:
        address = ipaddress.IPv6Address(ip)
    except ValueError:
        return None
    return f"range:{ipaddress.IPv6Network((address, 48), strict=False)}"


def ties_of(request: Request) -> tuple[str, ...]:
    """Return all that could tie a request's account to others, as `<link type>:<link value>`."""
    told = (f"{kind}:{value}" for kind, value in request.links.items())
    return tuple(dict.fromkeys((*told, *links_of(request))))
