"""A request as judging reads it."""

from __future__ import annotations

from msgspec.structs import astuple

from models.request import Action, Request

#: As they stand in a `Request`.
_Fields = tuple[
    float,
    str,
    str,
    Action,
    list[str],
    str | None,
    str | None,
    str | None,
    str | None,
    int | None,
    dict[str, str],
    int,
    int,
    float | None,
]


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
        fields: _Fields = astuple(request)
        (
            self.ts,
            self.request_id,
            self.account_id,
            self.action,
            self.pair_ids,
            self.owner_id,
            self.ip,
            _,
            self.ja4,
            self.asn,
            self.links,
            self.status,
            _,
            _,
        ) = fields
