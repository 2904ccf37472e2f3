"""Whatever anybody sends: it is read, or refused in the decoder's own words, in bounded time.

PAIRWATCH_TEST_INPUTS says how many inputs each decoder gets: `make soak` gives it millions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streams import in_force
from streams.codec import DETAIL_CHARS_MAX, REASONS, InvalidRequest, decode_request
from streams.control import messages
from streams.dead_letters import DeadLetter, KafkaSource
from streams.gateway import FORMATS
from streams.gateway.format import BadRecord
from streams.schemas import load
from streams.settings import Gateway
from tests.contract import assert_valid_dead_letter
from tests.fuzz.conftest import Feed
from tests.fuzz.mutations import mutations

NOW_S = 1_709_400_000.0
_SAMPLES = Path(__file__).parents[1] / "streams" / "gateway" / "samples"


def examples(schema: str) -> list[bytes]:
    return [msgspec.json.encode(example) for example in load(schema)["examples"]]


def is_told(refused: InvalidRequest | messages.RefusedControl) -> bool:
    """Whether a refusal has one of our reasons, in words that can't forge a line of a log."""
    detail = refused.detail
    is_harmless = detail.isascii() and detail.isprintable() and len(detail) <= DETAIL_CHARS_MAX
    return refused.reason in REASONS and is_harmless


def read_request(data: bytes) -> None:
    try:
        request = decode_request(data, NOW_S)
    except InvalidRequest as error:
        refused = error
    else:
        assert decode_request(msgspec.json.encode(request), NOW_S) == request
        return
    assert is_told(refused)
    letter = DeadLetter(refused.reason, refused.detail, KafkaSource("t", 0, 1), NOW_S, data)
    assert_valid_dead_letter(letter.encode())


def read_log(name: str) -> Callable[[bytes], None]:
    reader = FORMATS[name].reader(Gateway(), NOW_S)

    def read(data: bytes) -> None:
        for outcome in reader(data, "log:1"):
            if isinstance(outcome, BadRecord):
                assert is_told(outcome.error)
            else:
                # What is made of a foreign line is a request by the contract, too.
                assert decode_request(msgspec.json.encode(outcome), NOW_S) == outcome

    return read


def read_control(data: bytes) -> None:
    try:
        message = messages.decode(data)
    except messages.InvalidControl as error:
        refused = error
    else:
        assert messages.decode(messages.encode(message)) == message
        return
    assert is_told(refused)


def read_decision(data: bytes) -> None:
    decision = in_force._read("account:acct_17", data)
    assert decision is None or decision.key == "account:acct_17"


def samples(name: str) -> list[bytes]:
    (path,) = _SAMPLES.glob(f"{name}.*")
    return path.read_bytes().splitlines()


DECODERS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "request": (read_request, [*examples("request"), *samples("pairwatch")]),
    "control": (read_control, examples("control")),
    "decision": (read_decision, examples("decision")),
    **{f"{name} log": (read_log(name), samples(name)) for name in FORMATS},
}


@pytest.mark.parametrize("name", DECODERS)
def test_any_input_is_read_or_refused(feed: Feed, inputs: int, name: str) -> None:
    read, seeds = DECODERS[name]
    for seed in seeds:
        read(seed)
    feed(read, mutations(seeds, inputs, name))
