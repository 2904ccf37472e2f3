"""Partitions learn from each other at the same points, however fast each is read."""

from __future__ import annotations

import random
from functools import cache

import pytest

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.exchange import EPOCH_S, Digest, Exchange
from models.hashing import hash32
from models.request import Request
from tests.assembly import Assembly
from tests.models.traffic import MIDNIGHT_S, traffic

PARTITIONS = 3


def detectors() -> list[Detector]:
    config = DetectionConfig(false_throttles_per_1000_account_days=20)
    return [
        Detector(config, "test", "requests", n, lambda _: None, partitions=PARTITIONS)
        for n in range(PARTITIONS)
    ]


@cache
def logs() -> list[list[Request]]:
    found: list[list[Request]] = [[] for _ in range(PARTITIONS)]
    for one in traffic(2):
        found[hash32(one.account_id) % PARTITIONS].append(one)
    return found


def by_subject(decisions: list[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda each: (each.value, each.revision))


@cache
def together() -> list[Decision]:
    assembly = Assembly(detectors())
    for partition, log in enumerate(logs()):
        for place, one in enumerate(log):
            assembly.add(partition, one, place)
    return by_subject([each for _, seen in assembly.run() for each in seen.decisions])


@pytest.mark.parametrize("seed", range(5))
def test_the_pace_of_partitions_changes_nothing(seed: int) -> None:
    chance, judges, at = random.Random(seed), detectors(), [0] * PARTITIONS
    decisions: list[Decision] = []
    waits = 0
    while any(at[n] < len(logs()[n]) for n in range(PARTITIONS)):
        n = chance.choices(range(PARTITIONS), (1, 2, 9))[0]
        some = logs()[n][at[n] : at[n] + chance.choice((1, 40, 400))]
        seen = judges[n].observe(some, range(at[n], at[n] + len(some)))
        at[n] += seen.taken
        decisions += seen.decisions
        waits += bool(seen.lacking)
        for digest in seen.digests:
            for other in judges:
                other.exchange.receive(digest, 0)
        if at[n] == len(logs()[n]):
            for other in judges:
                other.exchange.receive(judges[n].exchange.tell_idle(), 0)
    assert waits
    assert by_subject(decisions) == together()


def test_partitions_do_learn_from_each_other() -> None:
    apart: list[Decision] = []
    for n, log in enumerate(logs()):
        alone = Detector(
            DetectionConfig(false_throttles_per_1000_account_days=20),
            "test",
            "requests",
            n,
            lambda _: None,
        )
        apart += alone.observe(log, range(len(log))).decisions
    assert by_subject(apart) != together()


def test_who_is_ahead_waits_for_who_is_behind_and_not_for_who_is_idle() -> None:
    one, other = Exchange(0, 2), Exchange(1, 2)
    now_s = MIDNIGHT_S
    assert one.lacking(now_s) == [1]
    one.receive(other.tell(now_s, b"x"), 7)
    assert one.lacking(now_s) == []
    assert one.begin_epoch(now_s) == []  # it arrives in time to be due later
    later_s = now_s + 2 * EPOCH_S
    assert one.lacking(later_s) == [1]
    one.receive(other.tell_idle(), 8)
    assert one.lacking(later_s) == []
    assert one.begin_epoch(now_s + EPOCH_S) == [b"x"]
    one.receive(other.tell(later_s, b"y"), 9)
    assert one.lacking(later_s + 9 * EPOCH_S) == [1]  # it speaks again


def test_what_is_not_taken_in_yet_is_read_again_and_nothing_twice() -> None:
    one, other = Exchange(0, 2), Exchange(1, 2)
    first, second = (other.tell(MIDNIGHT_S + n * EPOCH_S, bytes([n])) for n in range(2))
    one.receive(first, 10)
    one.receive(second, 11)
    one.receive(first, 12)  # sent again after a crash
    assert one.begin_epoch(MIDNIGHT_S + EPOCH_S) == [b"\x00"]
    assert one.oldest_place == 11
    again = Exchange(0, 2)
    again.restore(one.to_bytes())
    for place, digest in ((10, first), (11, second)):
        again.receive(digest, place)
    assert again.begin_epoch(MIDNIGHT_S + 2 * EPOCH_S) == [b"\x01"]
    assert again.oldest_place is None


def test_one_partition_waits_for_nobody() -> None:
    alone = Exchange(0, 1)
    assert alone.lacking(MIDNIGHT_S) == []


def test_a_partition_without_requests_takes_in_the_latest_day_of_what_it_was_told() -> None:
    exchange = Exchange(0, 2)
    for hour in range(1_000):
        exchange.receive(Digest(1, hour, bytes([hour % 251])), hour)
    assert exchange.oldest_place == 1_000 - 48
    expected = [bytes([hour % 251]) for hour in range(976, 1_000)]
    assert exchange.begin_epoch(1_001 * EPOCH_S) == expected


@pytest.mark.parametrize("ahead", range(6))
def test_who_judges_a_request_anew_takes_in_the_same_whatever_it_has_been_told_since(
    ahead: int,
) -> None:
    # After a quiet weekend, and after a night without requests of its own.
    for hours in ([10, 11, 80, 81], [*range(50)]):
        exchange = Exchange(0, 2)
        due = hours.index(11) + 1 if len(hours) < 20 else 40
        for hour in hours[: due + ahead]:
            exchange.receive(Digest(1, hour, bytes([hour])), hour)
        taken_in = exchange.begin_epoch((hours[due - 1] + 2) * EPOCH_S)
        assert taken_in == [bytes([hour]) for hour in hours[:due][-24:]]


def test_what_another_version_told_is_counted_and_judging_goes_on() -> None:
    judges = detectors()
    for other in (1, 2):
        judges[0].exchange.receive(Exchange(other, PARTITIONS).tell(MIDNIGHT_S, b"?"), 0)
    later_s = MIDNIGHT_S + 2 * EPOCH_S
    judges[0].exchange.excuse([1, 2])
    ask = Request(ts=later_s, request_id="r", account_id="a", action="view")
    seen = judges[0].observe([ask], [0])
    assert (seen.taken, seen.unreadable_digests) == (1, 2)
