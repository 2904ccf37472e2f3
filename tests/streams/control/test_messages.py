"""Control messages: whatever the bytes are, a message within bounds or a refusal by name."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import REASONS
from streams.control.messages import (
    MESSAGE_BYTES_MAX,
    InvalidControl,
    canonical,
    decode,
    encode,
    network,
)
from tests.contract import assert_valid_control, errors
from tests.control import EXAMPLES, MESSAGES


def refusal(told: Any) -> InvalidControl:
    raw = told if isinstance(told, bytes) else orjson.dumps(told)
    with pytest.raises(InvalidControl) as refused:
        decode(raw)
    return refused.value


# What fits.


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_example_of_the_schema_is_decoded_and_written_as_it_was(kind: str) -> None:
    assert assert_valid_control(encode(decode(orjson.dumps(EXAMPLES[kind])))) == EXAMPLES[kind]


@given(MESSAGES)
def test_any_message_fits_the_schema_and_comes_back_as_it_was(told: dict[str, Any]) -> None:
    assert errors("control", told) == []
    message = decode(orjson.dumps(told))
    assert decode(encode(message)) == message
    assert orjson.loads(encode(message)) == told


@given(MESSAGES)
def test_the_longest_way_to_write_a_message_is_within_the_bound(told: dict[str, Any]) -> None:
    longest = told | {"why": "\U0001f600" * 1_000}
    raw = json.dumps(longest, indent=2).encode()
    assert len(raw) < MESSAGE_BYTES_MAX
    assert orjson.loads(encode(decode(raw))) == longest


# The canonical form.


@given(MESSAGES, st.randoms(use_true_random=False), st.sampled_from([None, 4]))
def test_how_the_json_was_written_does_not_change_the_canonical_form(
    told: dict[str, Any], order: Any, indent: int | None
) -> None:
    items = list(told.items())
    order.shuffle(items)
    otherwise = json.dumps(dict(items), indent=indent).encode()
    assert canonical(decode(otherwise)) == canonical(decode(orjson.dumps(told)))


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    told = EXAMPLES["approve"] | {"why": "\u20ac$\u000f\nA'B\"\\", "limit_per_minute": 4.50}
    assert canonical(decode(orjson.dumps(told))).decode() == (
        '{"action":"throttle","by":"jo","decision_id":"0b6a2f1c9d7e4a58",'
        '"expires_at":"2024-03-03T20:00:00Z","id":"c_03","issued_at":"2024-03-02T20:00:00Z",'
        '"kind":"approve","limit_per_minute":4.5,"schema_version":1,'
        '"subject":{"scope":"group","value":"org:example.com"},'
        '"why":"\u20ac$\\u000f\\nA\'B\\"\\\\"}'
    )


def test_the_canonical_form_has_all_of_the_signature_but_the_hmac() -> None:
    message = decode(orjson.dumps(EXAMPLES["overturn"]))
    assert orjson.loads(canonical(message))["signature"] == {
        "key_id": "ops-2024",
        "nonce": "9f0c2a4e6b8d1f3a5c7e9b0d2f4a6c8e",
    }


# What does not fit.


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_missing_field_is_named(kind: str) -> None:
    for field in EXAMPLES[kind].keys() - {"signature", "scenario", "limit_per_minute"}:
        refused = refusal({n: v for n, v in EXAMPLES[kind].items() if n != field})
        assert refused.reason == "missing-field"
        assert f"`{field}`" in refused.detail


def changed(kind: str, path: str, value: Any) -> dict[str, Any]:
    told = copy.deepcopy(EXAMPLES[kind])
    *above, name = path.split(".")
    place = told
    for each in above:
        place = place[each]
    place[name] = value
    return told


ACCOUNT, GROUP, RANGE = "account", "group", "range"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("release", "kind", "forgive"),
        ("release", "schema_version", 2),
        ("release", "schema_version", True),
        ("release", "id", ""),
        ("release", "id", "x" * 129),
        ("release", "by", ""),
        ("release", "by", "x" * 129),
        ("release", "why", ""),
        ("release", "why", "x" * 1_001),
        ("release", "why", 7),
        ("release", "issued_at", 1_709_409_600),
        ("release", "issued_at", "2024-03-02"),
        ("release", "issued_at", "2024-03-02T20:00:00"),
        ("release", "issued_at", "2024-03-02T20:00:00+00:00"),
        ("release", "issued_at", "2024-03-02T20:00:00.Z"),
        ("release", "issued_at", "2024-03-02T20:00:00.1234567890Z"),
        ("release", "issued_at", "2024-02-30T20:00:00Z"),
        ("release", "issued_at", "2024-03-02T20:00:00Z\n"),
        ("release", "issued_at", "1999-12-31T23:59:59Z"),
        ("release", "issued_at", "٢٠٢٤-03-02T20:00:00Z"),
        ("allow", "expires_at", "9999-12-31T23:59:59.9999999Z"),
        ("allow", "expires_at", "never"),
        ("release", "subject", "account:acct_17"),
        ("release", "subject", {"scope": "link", "value": "org:x"}),
        ("release", "subject", {"scope": ACCOUNT, "value": ""}),
        ("release", "subject", {"scope": ACCOUNT, "value": "x" * 129}),
        ("release", "subject", {"scope": ACCOUNT, "value": "x", "revision": 1}),
        ("release", "subject", {"scope": GROUP, "value": "example.com"}),
        ("release", "subject", {"scope": GROUP, "value": "org:"}),
        ("release", "subject", {"scope": GROUP, "value": ":example.com"}),
        ("release", "subject", {"scope": GROUP, "value": "org:" + "x" * 509}),
        ("release", "subject", {"scope": RANGE, "value": "203.0.113.0/24"}),
        ("approve", "subject", {"scope": RANGE, "value": "203.0.113.0/24"}),
        ("allow", "subject", {"scope": RANGE, "value": "example.com"}),
        ("allow", "subject", {"scope": RANGE, "value": "203.0.113.9"}),
        ("allow", "subject", {"scope": RANGE, "value": "203.0.113.9/24"}),
        ("allow", "subject", {"scope": RANGE, "value": "203.0.113.0/255.255.255.0"}),
        ("allow", "subject", {"scope": RANGE, "value": "203.0.113.0/024"}),
        ("allow", "subject", {"scope": RANGE, "value": "2001:DB8::/32"}),
        ("allow", "subject", {"scope": RANGE, "value": "fe80::%eth0/64"}),
        ("allow", "subject", {"scope": RANGE, "value": "0.0.0.0/0"}),
        ("allow", "subject", {"scope": RANGE, "value": "64.0.0.0/7"}),
        ("allow", "subject", {"scope": RANGE, "value": "2000::/3"}),
        ("approve", "decision_id", ""),
        ("approve", "decision_id", "x" * 129),
        ("approve", "action", "review"),
        ("approve", "limit_per_minute", 0),
        ("approve", "limit_per_minute", -1),
        ("approve", "limit_per_minute", "1"),
        ("approve", "limit_per_minute", None),
        ("mode", "mode", "off"),
        ("mode", "scenario", "catalog-sweep"),
        ("mode", "scenario", None),
        ("calendar", "name", ""),
        ("calendar", "name", "x" * 129),
        ("calendar", "tolerance", 0.99),
        ("calendar", "tolerance", 100.1),
        ("calendar", "tolerance", "3"),
        ("calendar", "expire_at", "2024-03-02T20:00:00Z"),
        ("overturn", "signature", None),
        ("overturn", "signature.key_id", ""),
        ("overturn", "signature.key_id", "x" * 65),
        ("overturn", "signature.nonce", "9f0c"),
        ("overturn", "signature.nonce", "9F0C2A4E6B8D1F3A5C7E9B0D2F4A6C8E"),
        ("overturn", "signature.hmac", "é" * 64),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_field(
    kind: str, path: str, value: Any
) -> None:
    refused = refusal(changed(kind, path, value))
    assert refused.reason in REASONS
    assert path in refused.detail


def test_a_throttle_without_a_limit_is_refused() -> None:
    told = {name: v for name, v in EXAMPLES["approve"].items() if name != "limit_per_minute"}
    assert refusal(told).detail.startswith("limit_per_minute: ")


def test_a_ban_with_a_limit_is_refused() -> None:
    refused = refusal(changed("approve", "action", "ban"))
    assert refused.detail == "limit_per_minute: a ban has none"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "bad-json"),
        (b"{", "bad-json"),
        (b"[]", "wrong-type"),
        (b"\xff", "bad-utf8"),
        (b"[" * 10_000, "too-deep"),
        (b" " * (MESSAGE_BYTES_MAX + 1), "too-large"),
        (b'{"kind":"mode","why":"\\ud800"}', "bad-json"),
        (b'{"tolerance":1e999}', "out-of-range"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(raw: bytes, reason: str) -> None:
    assert refusal(raw).reason == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = sorted({name for example in EXAMPLES.values() for name in example})


@given(MESSAGES, st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1, max_size=2))
def test_what_is_decoded_fits_the_schema(told: dict[str, Any], changes: dict[str, Any]) -> None:
    raw = json.dumps(told | changes).encode()
    try:
        message = decode(raw)
    except InvalidControl:
        return
    assert_valid_control(encode(message))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_refusal(raw: bytes) -> None:
    with pytest.raises(InvalidControl):
        decode(raw)


def test_a_refusal_is_one_line_of_plain_ascii_however_long_what_was_sent_is() -> None:
    told = changed("mode", "scenario", "\x1b[2K\nnot" + "ü" * 900)
    shown = str(refusal(told))
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 250


def test_a_range_is_brought_into_its_usual_form() -> None:
    assert network("2001:DB8:0::/32") == "2001:db8::/32"
    assert network("203.0.113.0/255.255.255.0") == "203.0.113.0/24"
    assert network("203.0.113.9") == "203.0.113.9/32"
