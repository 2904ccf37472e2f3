"""The one event that pairwatch watches: a request at the gateway."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Action = Literal["generate", "view", "download", "list", "search", "other"]

#: Bounds of the request contract: no message may cost more than a thousand small ones.
ID_CHARS_MAX = 128
PAIR_IDS_MAX = 1_000
LINKS_MAX = 16
#: Counts above this are no count of anything real; it keeps every sum within 64 bits.
COUNT_MAX = 2**40

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
PairIds = Annotated[list[str], msgspec.Meta(max_length=PAIR_IDS_MAX)]
Links = Annotated[dict[str, str], msgspec.Meta(max_length=LINKS_MAX)]
Integer = Annotated[int, msgspec.Meta(ge=-COUNT_MAX, le=COUNT_MAX)]


class Request(msgspec.Struct, gc=False, omit_defaults=True):
    """One request as the gateway saw it.

    Parameters
    ----------
    ts
        Event time at the gateway, Unix seconds with fraction.
    request_id
        Unique for the request; a repeat is counted once. 1–128 characters.
    account_id
        The paying account. 1–128 characters.
    action
        What the request did.
    pair_ids
        The prompt/image pairs that the response created or returned, at most 1,000.
    owner_id
        The account those pairs belong to; `None` when mixed or unknown.
    ip, user_agent, ja4, asn
        What is known of the client and its network.
    links
        Facts that can tie accounts together, at most 16, such as `{"payment": "fp_9"}`.
    status
        HTTP status.
    bytes
        Size of the response.
    duration_ms
        Time the gateway spent on it.
    """

    ts: float
    request_id: Identifier
    account_id: Identifier
    action: Action
    pair_ids: PairIds = []
    owner_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    ja4: str | None = None
    asn: Integer | None = None
    links: Links = {}
    status: Integer = 200
    bytes: Integer = 0
    duration_ms: float | None = None
