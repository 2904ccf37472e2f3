"""Made-up ids by the million take no more than their share, and wrong clocks move nobody else.

PAIRWATCH_TEST_INPUTS says how many there are: `make soak` makes it a million.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from models.decision import Decision
from models.request import LINKS_MAX, Request
from streams.settings import Logs, Settings
from streams.shard import Checkpoint, Shard
from tests.integration.workers import START_S, traffic

#: Live profiles that the worker of these tests may hold.
_LIVE_MAX = 2_000
#: For those profiles, a population of 4 MB and two checkpoints in the making.
_GROWTH_BYTES_MAX = 160 * 2**20
#: What a profile may take on disk.
_ROW_BYTES_MAX = 2_048
#: And what it has chosen on a day: ten links of 200 characters are most of it.
_CHOICES_BYTES_MAX = 10_240
_BATCH = 512
LOGS = Logs("requests", "link-activity", "notices")
#: Made-up ids for each input of a decoder: a million when decoders get a quarter of one.
_EACH = 4


def shard() -> Shard:
    return Shard(Settings().detection(), "1", LOGS, 0, 1, lambda _: None, lambda: (0, 0, 0))


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def judge(requests: Iterable[Request]) -> int:
    """Judge requests with a checkpoint after each batch; return the size of the largest row."""
    state, offset, row_bytes_max = shard(), 0, 0
    requests = iter(requests)
    while batch := list(islice(requests, _BATCH)):
        state.judge(batch, range(offset, offset + len(batch)), offset + len(batch))
        offset += len(batch)
        begun = state.begin_checkpoint()
        assert begun is not None
        row_bytes_max = max(row_bytes_max, *sizes(begun, b"a"))
        state.end_checkpoint(begun, _LIVE_MAX)
        assert state.detector.live_accounts <= max(_LIVE_MAX, _BATCH)
    return row_bytes_max


def sizes(checkpoint: Checkpoint, kind: bytes) -> list[int]:
    return [len(row.value or b"") for row in checkpoint.rows if row.key[:1] == kind]


def request(n: int, account: str, pairs: list[str], link: str) -> Request:
    links = {"org": link, "payment": f"card {link}"}
    return Request(START_S + n / 100, f"r{n}", account, "view", pairs, links=links)


@pytest.mark.parametrize(
    "made_up",
    [
        lambda n: request(n, f"account {n}", ["p"], "one"),
        lambda n: request(n, f"account {n % 50}", ["p"], f"link {n}"),
        lambda n: request(n, f"account {n % 50}", [f"pair {n}"], "one"),
        lambda n: request(n, "the one", [f"pair {n}-{m}" for m in range(10)], f"link {n}"),
        lambda n: request(n, f"account {n}", [f"pair {n}"], f"link {n}"),
        lambda n: msgspec.structs.replace(
            request(n, "the one", [f"pair {n}"], ""),
            ip="2001:db8:85a3:8d3:1319:8a2e:255.255.255.255",
            ja4=f"{n:036d}",
            asn=2**32 - 1,
            links={f"link {m}": f"{n}" for m in range(LINKS_MAX)},
        ),
    ],
    ids=["accounts", "link values", "pairs", "all of one account's", "all at once", "all links"],
)
def test_made_up_ids_stay_within_their_bounds(
    inputs: int, made_up: Callable[[int], Request]
) -> None:
    count = _EACH * inputs
    before = resident_bytes()
    assert judge(made_up(n) for n in range(count)) <= _ROW_BYTES_MAX
    assert resident_bytes() - before < _GROWTH_BYTES_MAX


def test_of_strings_without_bounds_little_is_kept() -> None:
    state, long, count = shard(), "\U0001f600" * 50_000, 1_200
    before = resident_bytes()
    for n in range(count):
        one = Request(
            START_S + n,
            f"r{n}",
            f"account {n % 300}",
            ("view", "list")[n % 2],
            [f"{n} {long}"],
            owner_id=f"{n} {long}",
            ip=f"{n} {long}",
            ja4=f"{n} {long}",
            asn=n,
            links={f"{n} {m} {long}": long for m in range(4)},
        )
        state.judge([one], [n], n + 1)
    begun = state.begin_checkpoint()
    assert begun is not None
    assert max(sizes(begun, b"a")) <= _ROW_BYTES_MAX
    assert 0 < max(sizes(begun, b"c")) <= _CHOICES_BYTES_MAX
    assert resident_bytes() - before < _GROWTH_BYTES_MAX


def decisions(requests: list[Request]) -> list[Decision]:
    return shard().judge(requests, range(len(requests)), len(requests)).decisions


def test_one_account_with_a_wrong_clock_changes_nothing_for_the_others() -> None:
    requests = traffic()
    odd: list[Request] = []
    for n, each in enumerate(requests):
        skew_s = (3_599.0, -86_400.0, -700_000_000.0, 0.0)[n % 4]
        # Repeated, late, far ahead and from before there was a catalogue.
        odd.append(Request(each.ts + skew_s, f"odd-{n // 3}", "odd", "other"))
    both = [one for pair in zip(odd, requests, strict=True) for one in pair]
    expected = [(d.value, d.action, d.issued_at, d.scenario) for d in decisions(requests)]
    assert len(expected) > 5
    found = decisions(both)
    assert [(d.value, d.action, d.issued_at, d.scenario) for d in found] == expected
