"""Any bytes end as a request or as an `InvalidRequest` that says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.request import COUNT_MAX, Request
from streams.codec import (
    DETAIL_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    REASONS,
    TS_AHEAD_MAX_S,
    InvalidRequest,
    decode_request,
    decode_requests,
    parse_rfc3339,
)

NOW_S = 1_709_409_600.25
FULL: dict[str, Any] = {
    "ts": NOW_S,
    "request_id": "req_1",
    "account_id": "acct_1",
    "action": "view",
    "pair_ids": ["pair_1", "pair_2"],
    "owner_id": "acct_2",
    "ip": "2001:db8::1",
    "user_agent": "Müller/1.0",
    "ja4": "t13d1516h2_8daaf6152771_b186095e22b6",
    "asn": 64496,
    "links": {"org": "example.com"},
    "status": 304,
    "bytes": 1_000,
    "duration_ms": 12.5,
}
LEAST: dict[str, Any] = {key: FULL[key] for key in ("ts", "request_id", "account_id", "action")}


def encode(**changes: Any) -> bytes:
    return json.dumps({**LEAST, **changes}, ensure_ascii=False).encode()


def refusal(raw: bytes, arrived_s: float = NOW_S) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(raw, arrived_s)
    return caught.value


def test_every_field_of_the_contract_is_read() -> None:
    raw = json.dumps(FULL, ensure_ascii=False).encode()
    assert decode_request(raw, NOW_S) == Request(**FULL)


def test_what_is_left_out_has_the_contracts_defaults() -> None:
    request = decode_request(encode(), NOW_S)
    assert (request.pair_ids, request.links) == ([], {})
    assert (request.status, request.bytes, request.duration_ms) == (200, 0, None)


def test_null_in_an_optional_field_means_absent() -> None:
    nulls = dict.fromkeys(FULL.keys() - LEAST.keys())
    assert decode_request(encode(**nulls), NOW_S) == decode_request(encode(), NOW_S)


def test_a_status_and_a_size_of_zero_are_not_taken_for_absent() -> None:
    request = decode_request(encode(ts="2024-03-02T20:00:00Z", status=0, bytes=0), NOW_S)
    assert (request.status, request.bytes) == (0, 0)


def test_unknown_fields_are_ignored() -> None:
    unknown = encode(shipper={"deep": [1, None, "x"]}, level="info")
    assert decode_request(unknown, NOW_S) == decode_request(encode(), NOW_S)


def test_one_leading_byte_order_mark_is_skipped() -> None:
    mark = b"\xef\xbb\xbf"
    assert decode_request(mark + encode(), NOW_S) == decode_request(encode(), NOW_S)
    assert refusal(mark + mark + encode()).reason == "bad-json"


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("2024-03-02T20:00:00Z", 1_709_409_600.0),
        ("2024-03-02t20:00:00.250z", 1_709_409_600.25),
        ("2024-03-02T22:00:00.25+02:00", 1_709_409_600.25),
        ("2024-03-02T20:00:00.250000000-00:00", 1_709_409_600.25),
        ("2016-12-31T23:59:60Z", 1_483_228_800.0),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800.5),
        ("2017-01-01T00:59:60+01:00", 1_483_228_800.0),
    ],
)
def test_rfc_3339_times_are_read(text: str, time_s: float) -> None:
    assert decode_request(encode(ts=text), NOW_S).ts == time_s


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-02T20:00:00",
        "2024-03-02",
        "2024-03-02T20:00Z",
        "2024-02-30T20:00:00Z",
        "2024-03-02T20:00:61Z",
        "2024-03-02T20:00:60Z",
        "1709409600",
        "yesterday",
        "",
    ],
)
def test_other_textual_times_are_refused(text: str) -> None:
    assert refusal(encode(ts=text)).reason == "wrong-type"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": None}, "wrong-type"),
        ({"ts": True}, "wrong-type"),
        ({"ts": [NOW_S]}, "wrong-type"),
        ({"ts": 10**400}, "out-of-range"),
        ({"ts": 946_684_799.9}, "too-old"),
        ({"ts": -1e300}, "too-old"),
        ({"ts": NOW_S + TS_AHEAD_MAX_S + 1}, "too-far-ahead"),
        ({"ts": "9999-12-31T23:59:59Z"}, "too-far-ahead"),
        ({"request_id": None}, "wrong-type"),
        ({"request_id": 7}, "wrong-type"),
        ({"request_id": ""}, "out-of-range"),
        ({"request_id": "x" * 129}, "out-of-range"),
        ({"account_id": ""}, "out-of-range"),
        ({"account_id": None}, "wrong-type"),
        ({"action": "copy"}, "out-of-range"),
        ({"action": None}, "wrong-type"),
        ({"pair_ids": "pair_1"}, "wrong-type"),
        ({"pair_ids": [1]}, "wrong-type"),
        ({"pair_ids": [None]}, "wrong-type"),
        ({"pair_ids": ["p"] * 1_001}, "out-of-range"),
        ({"links": {str(n): "x" for n in range(17)}}, "out-of-range"),
        ({"links": {"org": None}}, "wrong-type"),
        ({"asn": "64496"}, "wrong-type"),
        ({"asn": 1.5}, "wrong-type"),
        ({"status": True}, "wrong-type"),
        ({"bytes": COUNT_MAX + 1}, "out-of-range"),
        ({"bytes": 10**30}, "out-of-range"),
        ({"duration_ms": "12"}, "wrong-type"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_name(changes: dict[str, Any], reason: str) -> None:
    invalid = refusal(encode(**changes))
    assert invalid.reason == reason
    assert invalid.detail.startswith(next(iter(changes)))


@pytest.mark.parametrize("field", LEAST)
def test_a_missing_field_is_named(field: str) -> None:
    raw = json.dumps({key: value for key, value in LEAST.items() if key != field}).encode()
    invalid = refusal(raw)
    assert invalid.reason == "missing-field"
    assert field in invalid.detail


@pytest.mark.parametrize("ts", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_not_json(ts: str) -> None:
    assert refusal(encode().replace(b"1709409600.25", ts.encode())).reason == "bad-json"


def test_a_number_too_large_for_a_float_is_no_infinity() -> None:
    assert refusal(encode(duration_ms=0).replace(b": 0", b": 1e999")).reason == "out-of-range"


@pytest.mark.parametrize("raw", [b"", b" \n", b"{", b"nul", encode() + b"}", encode(u="x")[:-3]])
def test_broken_json_is_refused(raw: bytes) -> None:
    assert refusal(raw).reason == "bad-json"


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"x"'])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    assert refusal(raw).reason == "wrong-type"


def test_a_lone_surrogate_is_bad_json() -> None:
    assert refusal(encode().replace(b"req_1", b"\\ud800")).reason == "bad-json"


@pytest.mark.parametrize("field", ["ip", "unknown"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82"])
def test_invalid_utf8_is_refused_in_known_and_unknown_fields(field: str, bad: bytes) -> None:
    assert refusal(encode(**{field: "HERE"}).replace(b"HERE", bad)).reason == "bad-utf8"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_bottomless_nesting_is_refused(opening: bytes) -> None:
    raw = encode()[:-1] + b', "deep": ' + opening * 100_000
    assert refusal(raw).reason == "too-deep"


def test_a_message_over_the_limit_is_refused_and_one_at_the_limit_is_read() -> None:
    padding = MESSAGE_BYTES_MAX - len(encode(padding=""))
    assert decode_request(encode(padding="x" * padding), NOW_S).request_id == "req_1"
    assert refusal(encode(padding="x" * (padding + 1))).reason == "too-large"


def test_the_detail_is_short_and_can_not_forge_a_line_of_a_log() -> None:
    detail = refusal(encode(action="x\n2024-03-02 all is well\u202e\x1b[2J" + "y" * 1_000)).detail
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) <= DETAIL_CHARS_MAX


def test_a_time_at_the_edge_of_the_calendar_is_a_time() -> None:
    assert parse_rfc3339("0001-01-01T00:00:00+23:59") < 0
    assert parse_rfc3339("9999-12-31T23:59:59-23:59") > 0


def read(raw: bytes) -> Request | InvalidRequest:
    try:
        return decode_request(raw, NOW_S)
    except InvalidRequest as invalid:
        return invalid


def holds(outcome: Request | InvalidRequest) -> bool:
    if isinstance(outcome, InvalidRequest):
        return outcome.reason in REASONS and len(outcome.detail) <= DETAIL_CHARS_MAX
    return outcome.ts <= NOW_S + TS_AHEAD_MAX_S


@given(st.binary(max_size=2_000))
def test_any_bytes_end_as_a_request_or_an_invalid_request(raw: bytes) -> None:
    assert holds(read(raw))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5), SCALARS)


@given(st.dictionaries(st.sampled_from(sorted(FULL)) | st.text(max_size=5), VALUES, max_size=6))
def test_any_values_in_the_fields_end_as_one_or_the_other(changes: dict[str, Any]) -> None:
    raw = json.dumps({**FULL, **changes}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert holds(read(raw))


@given(st.data())
def test_a_damaged_message_ends_as_one_or_the_other(data: st.DataObject) -> None:
    raw = bytearray(json.dumps(FULL, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(start + 8, len(raw))))
        raw[start:end] = data.draw(st.binary(max_size=8))
    assert holds(read(bytes(raw)))


#: As some shippers write: textual times, `null` for what is absent.
TOLERATED = [
    encode(ts="2024-03-02T20:00:00Z"),
    encode(ts="2024-03-02 20:00:00.1234567+05:30"),
    encode(ts="2024-03-02t20:00:00.25z", links=None, pair_ids=None),
    encode(ts=1_709_409_600, bytes=None, status=None, duration_ms=None),
    encode(owner_id=None, ip=None, user_agent=None, ja4=None, asn=None),
]


def test_many_at_once_are_read_as_one_by_one() -> None:
    raw = [encode(request_id=f"r{n}", ts=NOW_S + n) for n in range(3)]
    raw.append(json.dumps(FULL, ensure_ascii=False).encode())
    raw += TOLERATED
    assert decode_requests(raw, NOW_S) == [decode_request(one, NOW_S) for one in raw]
    assert decode_requests([], NOW_S) == []


@pytest.mark.parametrize(
    "unusual",
    [
        b"{",
        encode(ts="2016-12-31T23:59:60Z"),
        encode(ts="2024-03-02T20:00:00"),
        encode(ts=NOW_S + TS_AHEAD_MAX_S + 1),
        encode(ts="2024-03-02T22:00:00Z"),
        encode(ts=0),
        encode(unknown="?").replace(b"?", b"\xff"),
        encode(unknown="?" * MESSAGE_BYTES_MAX),
        encode(account_id=""),
    ],
    ids=["broken", "leap", "nowhere", "ahead", "text-ahead", "old", "no-utf8", "large", "empty"],
)
def test_where_one_is_unusual_each_is_looked_at(unusual: bytes) -> None:
    assert decode_requests([encode(), unusual, encode()], NOW_S) is None


@given(
    st.lists(
        st.sampled_from([encode(), encode(status=404), *TOLERATED])
        | st.builds(
            lambda at, status: encode(ts=at.isoformat(), status=status),
            st.datetimes(timezones=st.timezones()),
            st.none() | st.integers(-1, 2**63),
        )
        | st.binary(max_size=20)
    )
)
def test_many_at_once_are_read_as_one_by_one_or_not_at_all(raw: list[bytes]) -> None:
    read = decode_requests(raw, NOW_S)
    if read is None:
        with pytest.raises(InvalidRequest):
            [decode_request(one, NOW_S) for one in raw]
    else:
        assert read == [decode_request(one, NOW_S) for one in raw]
