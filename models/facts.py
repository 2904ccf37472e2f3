"""A request as judging reads it."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from msgspec.structs import astuple

from models.request import Action, Request

#: A constant, which need not be looked up.
_astuple: Final = astuple


#: What ties an account to others is remembered up to this length, characters, so that it need not
#: be looked up again; beyond, each time it comes.
_CLIENT_CHARS_MAX: Final = 1_024
#: Address, fingerprint of the client, number of the network, links.
Client: TypeAlias = tuple[str | None, str | None, int | None, dict[str, str]]


class Facts:
    """The fields of a request, unpacked: judging asks for them thirty times.

    To read one of a `Request` is to look it up by its name, each time.

    Parameters
    ----------
    request
        The request, whose fields these are.
    """

    __slots__ = (
        "account_id",
        "action",
        "asn",
        "ip",
        "ja4",
        "links",
        "owner_id",
        "pair_ids",
        "request",
        "request_id",
        "status",
        "ts",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        # In the order in which a `Request` has them.
        fields: tuple[Any, ...] = _astuple(request)
        self.ts: float = fields[0]
        self.request_id: str = fields[1]
        self.account_id: str = fields[2]
        self.action: Action = fields[3]
        self.pair_ids: list[str] = fields[4]
        self.owner_id: str | None = fields[5]
        self.ip: str | None = fields[6]
        self.ja4: str | None = fields[8]
        self.asn: int | None = fields[9]
        self.links: dict[str, str] = fields[10]
        self.status: int = fields[11]

    @property
    def client(self) -> Client | None:
        """What ties its account to others; `None` where that is too much to be remembered."""
        length = len(self.ip or "") + len(self.ja4 or "")
        for name, value in self.links.items():
            length += len(name) + len(value)
        return (self.ip, self.ja4, self.asn, self.links) if length <= _CLIENT_CHARS_MAX else None

    def is_from(self, client: Client | None) -> bool:
        """Whether what ties its account to others is this."""
        if client is None:
            return False
        ip, ja4, asn, links = client
        return self.ip == ip and self.ja4 == ja4 and self.asn == asn and self.links == links
