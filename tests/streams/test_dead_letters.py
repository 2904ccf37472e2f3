"""Dead letters keep what is needed to mend them, within bounds."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import REASONS, InvalidRequest, decode_request
from streams.dead_letters import (
    DETAIL_CHARS_MAX,
    FILE_CHARS_MAX,
    ORIGINAL_BYTES_MAX,
    DeadLetter,
    FileSource,
    KafkaSource,
)
from tests.contract import assert_valid_dead_letter

NOW_S = 1_709_409_600.0
IN_KAFKA = KafkaSource("gateway.requests", 3, 90_211)
#: What Kafka and Faust take by default.
VALUE_BYTES_MAX = 1_000_000


def written(
    original: bytes = b"{", detail: str = "", source: KafkaSource | FileSource = IN_KAFKA
) -> dict[str, Any]:
    return assert_valid_dead_letter(
        DeadLetter("bad-json", detail, source, NOW_S, original).encode()
    )


def test_a_refused_message_is_written_with_its_reason_place_time_and_bytes() -> None:
    raw = b'{"ts": 1,\xff'
    with pytest.raises(InvalidRequest) as refused:
        decode_request(raw, NOW_S)
    letter = DeadLetter(refused.value.reason, refused.value.detail, IN_KAFKA, NOW_S, raw)
    assert assert_valid_dead_letter(letter.encode()) == {
        "reason": "bad-utf8",
        "detail": refused.value.detail,
        "source": {"topic": "gateway.requests", "partition": 3, "offset": 90_211},
        "at": "2024-03-02T20:00:00.000Z",
        "size_bytes": len(raw),
        "truncated": False,
        "original_base64": base64.b64encode(raw).decode(),
    }


@given(st.binary(max_size=300))
def test_any_original_comes_back_as_it_was(original: bytes) -> None:
    assert base64.b64decode(written(original)["original_base64"]) == original


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_the_decoder_fits_the_schema(reason: str) -> None:
    assert_valid_dead_letter(DeadLetter(reason, "", IN_KAFKA, NOW_S, b"").encode())


def test_an_original_at_the_bound_is_kept_whole() -> None:
    letter = written(b"x" * ORIGINAL_BYTES_MAX)
    assert not letter["truncated"]


def test_a_longer_original_is_cut_and_says_so() -> None:
    original = b"a" * ORIGINAL_BYTES_MAX + b"b"
    letter = written(original)
    assert letter["truncated"]
    assert letter["size_bytes"] == len(original)
    assert base64.b64decode(letter["original_base64"]) == original[:ORIGINAL_BYTES_MAX]


def test_the_largest_dead_letter_is_far_below_what_kafka_takes() -> None:
    letter = DeadLetter(
        reason="bad-json",
        detail="\x00" * (2 * DETAIL_CHARS_MAX),
        source=FileSource("\x00" * (2 * FILE_CHARS_MAX), 2**63),
        at_s=NOW_S,
        original=b"x" * 2**21,
    )
    assert_valid_dead_letter(letter.encode())
    assert len(letter.encode()) < VALUE_BYTES_MAX / 5
    assert len(letter.key) < VALUE_BYTES_MAX / 100


def test_a_line_of_a_file_is_named_by_file_and_line() -> None:
    letter = DeadLetter("bad-line", "", FileSource("access.log", 7), NOW_S, b"?")
    assert assert_valid_dead_letter(letter.encode())["source"] == {"file": "access.log", "line": 7}
    assert letter.key == b"access.log:7"


def test_the_same_message_set_aside_twice_has_the_same_key() -> None:
    first = DeadLetter("bad-json", "one try", IN_KAFKA, NOW_S, b"{")
    again = DeadLetter("bad-json", "another", IN_KAFKA, NOW_S + 60, b"{")
    assert first.key == again.key == b"gateway.requests:3:90211"


@pytest.mark.parametrize(
    ("at_s", "at"),
    [
        (-0.001, "1970-01-01T00:00:00.000Z"),
        (-(2**63) / 1_000, "1970-01-01T00:00:00.000Z"),
        (2**63 / 1_000, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_no_timestamp_that_a_producer_can_set_stops_the_dead_letter(at_s: float, at: str) -> None:
    letter = DeadLetter("too-far-ahead", "", IN_KAFKA, at_s, b"{}").encode()
    assert assert_valid_dead_letter(letter)["at"] == at


def test_a_dead_letter_is_one_line_whatever_is_in_it() -> None:
    raw = DeadLetter("bad-line", "a\nb\u2028c", FileSource("x\ny", 1), NOW_S, b"a\nb\r\n").encode()
    assert raw.splitlines() == [raw]


def test_a_file_name_that_is_no_text_does_not_stop_the_dead_letter() -> None:
    name = b"access-\xff.log".decode("utf-8", "surrogateescape")
    letter = DeadLetter("bad-line", "", FileSource(name, 1), NOW_S, b"?")
    assert assert_valid_dead_letter(letter.encode())["source"]["file"] == "access-?.log"
    assert letter.key == b"access-?.log:1"
