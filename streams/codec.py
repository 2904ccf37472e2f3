"""Bytes to `Request`: the decoder of the request contract, for the worker and for replay alike.

Whatever the bytes are, the outcome is a `Request` or an `InvalidRequest`; anything else is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn, get_args

import msgspec

from models.request import Action, Identifier, Integer, Links, PairIds, Request

InvalidReason = Literal[
    "bad-json",
    "bad-utf8",
    "bad-line",
    "too-large",
    "too-deep",
    "missing-field",
    "wrong-type",
    "out-of-range",
    "too-old",
    "too-far-ahead",
    "skipped",
]
#: Every reason there is; metrics and dead letters count by these words.
REASONS: tuple[InvalidReason, ...] = get_args(InvalidReason)

#: A broker's default limit too: a larger message costs more than any request can be worth.
MESSAGE_BYTES_MAX = 2**20
#: 2000-01-01T00:00:00Z; an earlier clock was never set.
TS_MIN_S = 946_684_800.0
#: How far a gateway's clock may run ahead of the message that carries its event.
TS_AHEAD_MAX_S = 3_600.0
#: A detail is one line of a log or a dead letter, not a copy of the message.
DETAIL_CHARS_MAX = 200

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InvalidRequest(ValueError):  # noqa: N818 -- the word of the contract, apart from errors
    """A message or a log line that is no request; the stream goes on without it.

    Parameters
    ----------
    reason
        One of `REASONS`.
    detail
        Which field, or where. Cut at `DETAIL_CHARS_MAX` and escaped to printable ASCII, so that
        what a client sent can't forge a line of our log.
    """

    def __init__(self, reason: InvalidReason, detail: str) -> None:
        self.reason: InvalidReason = reason
        shown = detail[:DETAIL_CHARS_MAX].encode("unicode_escape").decode("ascii")
        self.detail = shown[:DETAIL_CHARS_MAX]
        super().__init__(f"{reason}: {self.detail}")


class _Lenient(msgspec.Struct, gc=False):
    """The contract as shippers may write it: textual times, and `null` for what is absent."""

    ts: float | str
    request_id: Identifier
    account_id: Identifier
    action: Action
    pair_ids: PairIds | None = None
    owner_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    ja4: str | None = None
    asn: Integer | None = None
    links: Links | None = None
    status: Integer | None = None
    bytes: Integer | None = None
    duration_ms: float | None = None


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Timed(_Lenient, gc=False):
    """The same with the time read by msgspec, which knows no leap seconds."""

    ts: float | _Time  # type: ignore[assignment]


class _Moment(msgspec.Struct, array_like=True):
    """A time by itself; a struct, because msgspec keeps what it has learnt of structs."""

    time: _Time


_decode_strict = msgspec.json.Decoder(Request).decode
_decode_lenient = msgspec.json.Decoder(_Lenient).decode
_decode_timed = msgspec.json.Decoder(_Timed).decode
_decode_any = msgspec.json.Decoder().decode
_LEAP_SECOND = re.compile(r"(.{10}[Tt ]\d\d:\d\d):60(.*)", re.ASCII)


def decode_request(raw: bytes, arrived_s: float) -> Request:
    """Read one request event.

    Parameters
    ----------
    raw
        The message's value: a JSON object in UTF-8, at most `MESSAGE_BYTES_MAX` bytes.
    arrived_s
        The message's own timestamp, Unix seconds; in a replay the present moment.

    Raises
    ------
    InvalidRequest
        The bytes are no request; nothing else is raised, whatever they are.
    """
    if len(raw) > MESSAGE_BYTES_MAX or not raw.isascii():
        raw = _checked(raw, MESSAGE_BYTES_MAX)
    try:
        # Nearly every message passes here; only one that does not is decoded again.
        request = _decode_strict(raw)
    except msgspec.ValidationError:
        request = _read_leniently(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error)
    if not TS_MIN_S <= request.ts <= arrived_s + TS_AHEAD_MAX_S:
        check_event_time(request.ts, arrived_s)
    return request


def decode_requests(values: Sequence[bytes], arrived_s: float) -> list[Request] | None:
    """Read many request events at once, if nothing is unusual about any of them.

    Parameters
    ----------
    values
        As `decode_request` takes them.
    arrived_s
        When the earliest of them arrived, Unix seconds.

    Returns
    -------
    What `decode_request` makes of them; `None` where it must look at each.
    """
    # In loops that are not Python's own, where an event costs half as much.
    try:
        if not all(map(bytes.isascii, values)):
            values = [_checked(value, MESSAGE_BYTES_MAX) for value in values]
        requests = _decode_many(values)
    except (InvalidRequest, msgspec.DecodeError, RecursionError):
        return None
    times = [request.ts for request in requests] or [TS_MIN_S]
    is_usual = (
        max(map(len, values), default=0) <= MESSAGE_BYTES_MAX
        and min(times) >= TS_MIN_S
        and max(times) <= arrived_s + TS_AHEAD_MAX_S
    )
    return requests if is_usual else None


def _decode_many(values: Sequence[bytes]) -> list[Request]:
    try:
        return list(map(_decode_strict, values))
    except msgspec.ValidationError:
        # Shippers that write textual times or `null` do so in every message: to try each of them
        # in both ways takes twice as long.
        return [
            _request(one, one.ts if isinstance(one.ts, float) else one.ts.timestamp())
            for one in map(_decode_timed, values)
        ]


def decode_json(raw: bytes, bytes_max: int = MESSAGE_BYTES_MAX) -> Any:
    """Read any JSON under the same limits and with the same errors as a request event."""
    raw = _checked(raw, bytes_max)
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error)


def check_event_time(ts: float, arrived_s: float) -> None:
    """Refuse an event time (Unix seconds) that no working clock can have written.

    Raises
    ------
    InvalidRequest
        `too-old` before 2000, `too-far-ahead` more than an hour after `arrived_s`.
    """
    if ts < TS_MIN_S:
        raise InvalidRequest("too-old", f"ts: {ts} is before the year 2000")
    if ts > arrived_s + TS_AHEAD_MAX_S:
        raise InvalidRequest("too-far-ahead", f"ts: {ts} is over an hour ahead of {arrived_s}")


def parse_rfc3339(text: str) -> float:
    """Read an RFC 3339 time as Unix seconds, to the microsecond.

    A leap second is read as the second before it plus one, as Unix time has no room for it
    (RFC 3339, 5.7). A time without an offset names no moment and is refused.

    Raises
    ------
    InvalidRequest
        Not RFC 3339, or without an offset.

    >>> parse_rfc3339("2024-03-02T20:00:00.25Z")
    1709409600.25
    """
    leap = _LEAP_SECOND.fullmatch(text) if ":60" in text else None
    plain = f"{leap[1]}:59{leap[2]}" if leap else text
    try:
        time_s = msgspec.convert((plain,), _Moment).time.timestamp()
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at ")[0]
        raise InvalidRequest("wrong-type", f"ts: {message}") from None
    if not leap:
        return time_s
    if (int(time_s) + 1) % 86_400:
        raise InvalidRequest("wrong-type", "ts: a leap second is the last of a day in UTC")
    return time_s + 1


def _checked(raw: bytes, bytes_max: int) -> bytes:
    """Return the bytes without their mark, or refuse them."""
    if len(raw) > bytes_max:
        raise InvalidRequest("too-large", f"{len(raw)} bytes, over {bytes_max}")
    if raw.isascii():
        return raw
    try:
        # msgspec skips the strings of unknown fields without looking into them.
        raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("bad-utf8", f"byte {error.start}: {error.reason}") from None
    return raw.removeprefix(_BYTE_ORDER_MARK)


def _read_leniently(raw: bytes) -> Request:
    try:
        lenient = _decode_lenient(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error)
    return _request(
        lenient, parse_rfc3339(lenient.ts) if isinstance(lenient.ts, str) else lenient.ts
    )


def _request(lenient: _Lenient, ts: float) -> Request:
    return Request(
        ts=ts,
        request_id=lenient.request_id,
        account_id=lenient.account_id,
        action=lenient.action,
        pair_ids=lenient.pair_ids or [],
        owner_id=lenient.owner_id,
        ip=lenient.ip,
        user_agent=lenient.user_agent,
        ja4=lenient.ja4,
        asn=lenient.asn,
        links=lenient.links or {},
        status=200 if lenient.status is None else lenient.status,
        bytes=lenient.bytes or 0,
        duration_ms=lenient.duration_ms,
    )


def _refuse(error: msgspec.DecodeError | RecursionError) -> NoReturn:
    """Raise `InvalidRequest` for an error of the JSON decoder, naming the field it names."""
    if isinstance(error, RecursionError):
        raise InvalidRequest("too-deep", "more nested than any request") from None
    message, _, path = str(error).partition(" - at `$.")
    detail = f"{path.rstrip('`')}: {message}" if path else message
    raise InvalidRequest(_reason(error, message), detail) from None


def _reason(error: msgspec.DecodeError, message: str) -> InvalidReason:
    if not isinstance(error, msgspec.ValidationError):
        return "bad-json"
    if message.startswith("Object missing required field"):
        return "missing-field"
    if message.startswith("Expected") and ", got " in message:
        return "wrong-type"
    return "out-of-range"
