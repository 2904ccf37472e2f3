"""What every gateway log says of a request, and how to find it in a line's fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from models.request import COUNT_MAX
from streams.codec import MESSAGE_BYTES_MAX, InvalidRequest, decode_json

#: One record of a log under its format's own field names; JSON logs may nest.
Fields = Mapping[str, Any]


class LogEntry(msgspec.Struct, gc=False, kw_only=True):
    """One request as a gateway logged it, before the rules say what it did.

    Parameters
    ----------
    ts
        Event time, Unix seconds with fraction where the log has it.
    method, target
        The request line's; `""` where the client sent none that can be read.
    status
        HTTP status; 0 when no response was sent.
    bytes
        Size of the response.
    duration_ms
        Time the gateway spent on it.
    ip, user_agent, ja4, asn
        What the log knows of the client.
    request_id
        Given by the gateway itself. One that a client can choose (as in `X-Request-Id`) is left
        out: by repeating it the client would have all its requests counted once.
    """

    ts: float
    method: str
    target: str
    status: int = 200
    bytes: int = 0
    duration_ms: float | None = None
    ip: str | None = None
    user_agent: str | None = None
    ja4: str | None = None
    asn: int | None = None
    request_id: str | None = None


def decode_records(raw: bytes, bytes_max: int = MESSAGE_BYTES_MAX) -> list[Fields]:
    """Read a line of JSON: an object, or an array of them as batching shippers write.

    Raises
    ------
    InvalidRequest
        The line is neither.
    """
    value = decode_json(raw, bytes_max)
    records = value if isinstance(value, list) else [value]
    if not all(isinstance(record, dict) for record in records):
        raise InvalidRequest("wrong-type", "the line is no JSON object")
    return records


def find(fields: Fields, name: str) -> Any:
    """Return a field by its dotted name, `None` where there is none.

    Exporters nest (`{"a": {"b": 1}}`), flatten (`{"a.b": 1}`) and mix the two; all are found.
    """
    if name in fields:
        return fields[name]
    head, dot, rest = name.partition(".")
    while dot:
        inner = fields.get(head)
        if isinstance(inner, dict) and (value := find(inner, rest)) is not None:
            return value
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def text(fields: Fields, *names: str) -> str | None:
    """Return the first of the named fields that says something, as text.

    Logs write nothing as `""` or `"-"`. A list, as headers may be, stands for its first value.
    """
    for name in names:
        value = find(fields, name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value not in ("", "-"):
            return value
    return None


def number(fields: Fields, *names: str) -> float | None:
    """Return the first of the named fields that says something, as a finite number.

    Raises
    ------
    InvalidRequest
        The field holds something else.
    """
    for name in names:
        value = find(fields, name)
        if value is None or value in ("", "-"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidRequest("wrong-type", f"{name}: a number was expected")
        try:
            found = float(value)
        except ValueError:
            raise InvalidRequest("wrong-type", f"{name}: {value!r} is no number") from None
        except OverflowError:
            found = math.inf
        if not math.isfinite(found):
            raise InvalidRequest("out-of-range", f"{name}: {value}")
        return found
    return None


def integer(fields: Fields, *names: str) -> int | None:
    """Return the first of the named fields that says something, as a whole number.

    Raises
    ------
    InvalidRequest
        The field holds something else, or more than any count can be.
    """
    found = number(fields, *names)
    if found is None:
        return None
    if abs(found) > COUNT_MAX:
        raise InvalidRequest("out-of-range", f"{names[0]}: {found}")
    return int(found)


def status(fields: Fields, *names: str) -> int:
    """Return the HTTP status: 0 for the `-` of a request that got no response, 200 for none."""
    for name in names:
        if find(fields, name) in ("", "-"):
            return 0
    found = integer(fields, *names)
    return 200 if found is None else found


def last_hop(forwarded_for: str | None) -> str | None:
    """Return the address that the nearest proxy added to `X-Forwarded-For`.

    The ones before it come from the client, who could be somebody else with every request.
    """
    return forwarded_for.rpartition(",")[2].strip() or None if forwarded_for else None


def without_port(address: str | None) -> str | None:
    """Return the host of `192.0.2.1:443` or `[2001:db8::1]:443`; a bare address as it is."""
    if address is None:
        return None
    if address.startswith("["):
        return address[1:].partition("]")[0] or None
    # More than one colon is an IPv6 address by itself.
    return (address.partition(":")[0] or None) if address.count(":") == 1 else address
