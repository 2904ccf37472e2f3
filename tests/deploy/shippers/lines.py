"""Lines as the gateways write them, and the events that they must become."""

from __future__ import annotations

from typing import Any

Line = dict[str, Any]


def nginx(**fields: Any) -> Line:
    """Return a line of nginx's log as `pairwatch-log.conf` has it."""
    return {
        "msec": 1709409600.25,
        "request_id": "f3c9a1d2",
        "account_id": "acct_17",
        "org": "",
        "payment": "",
        "request_method": "GET",
        "path": "/images/p1",
        "status": 200,
        "body_bytes_sent": 512,
        "request_time": 0.5,
        "pair_ids": "",
        "owner_id": "",
        "remote_addr": "192.0.2.7",
        "ja4": "",
        "asn": "",
        "user_agent": "curl/8",
    } | fields


def event(**fields: Any) -> Line:
    """Return the event of such a line."""
    return {
        "ts": 1709409600.25,
        "request_id": "f3c9a1d2",
        "account_id": "acct_17",
        "action": "view",
        "pair_ids": ["p1"],
        "ip": "192.0.2.0",
        "status": 200,
        "bytes": 512,
        "duration_ms": 500.0,
    } | fields


#: What a line shows → the line and its event; `None` where there must be none.
CASES: dict[str, tuple[Line, Line | None]] = {
    "a view is of the pair in its path": (nginx(), event()),
    "a download too": (nginx(path="/images/p1/file"), event(action="download")),
    "a list has the pairs that the application names": (
        nginx(path="/images", pair_ids="p1,p2,p3", owner_id="acct_9"),
        event(action="list", pair_ids=["p1", "p2", "p3"], owner_id="acct_9"),
    ),
    "so has a search": (
        nginx(path="/search", pair_ids="p8"),
        event(action="search", pair_ids=["p8"]),
    ),
    "and a generation": (
        nginx(request_method="POST", path="/generations", pair_ids="p1"),
        event(action="generate"),
    ),
    "an empty page has none": (nginx(path="/images"), event(action="list", pair_ids=[])),
    "a comma in a path is part of the id": (nginx(path="/images/p,1"), event(pair_ids=["p,1"])),
    "what was not found was not read": (nginx(status=404), event(status=404, pair_ids=[])),
    "what the client has already was read": (nginx(status=304), event(status=304)),
    "any other method did something else": (
        nginx(request_method="DELETE"),
        event(action="other", pair_ids=[]),
    ),
    "any other path too, whatever it returned": (
        nginx(path="/images/p1/likes", pair_ids="p4"),
        event(action="other", pair_ids=[]),
    ),
    "a client without a user agent or a method that is known": (
        nginx(request_method="", path="", status=400, user_agent=""),
        event(action="other", pair_ids=[], status=400),
    ),
    "ids are any text": (
        nginx(account_id='ä"\\\u2028', path="/images/ü 1"),
        event(account_id='ä"\\\u2028', pair_ids=["ü 1"]),
    ),
    "an address of version 6 is cut to its site": (
        nginx(remote_addr="2001:db8:1:2:3:4:5:6"),
        event(ip="2001:db8:1::"),
    ),
    "a short one as well": (nginx(remote_addr="2001:db8::7"), event(ip="2001:db8::")),
    "links go along": (
        nginx(org="h1", payment="h2"),
        event(links={"org": "h1", "payment": "h2"}),
    ),
    "a client that is known by its hello and its network is told": (
        nginx(ja4="t13d1516h2_8daaf6152771_b186095e22b6", asn="64500"),
        event(ja4="t13d1516h2_8daaf6152771_b186095e22b6", asn=64500),
    ),
    "and half of that is of no use": (nginx(asn="64500"), event()),
    "nobody's request is no event": (nginx(account_id=""), None),
}


#: What the configuration adds to Kong's own log.
_SET = ("pair_ids", "owner_id", "org", "payment", "ja4", "asn")


def kong(line: Line) -> Line:
    """Return what Kong's serializer writes of the same request."""
    return {
        "started_at": round(line["msec"] * 1_000),
        "client_ip": line["remote_addr"],
        "request": {
            "id": line["request_id"],
            "method": line["request_method"],
            "uri": f"{line['path']}?page=2#x",
            "size": 100,
        },
        "response": {"status": line["status"], "size": line["body_bytes_sent"], "headers": {}},
        "latencies": {"request": line["request_time"] * 1_000, "kong": 1, "proxy": 11},
        # Nil in Lua is no field in JSON; so is a consumer whom nobody has authenticated.
        **({"consumer": {"custom_id": line["account_id"]}} if line["account_id"] else {}),
        **{name: line[name] for name in _SET if line[name]},
    }
