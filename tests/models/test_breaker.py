"""Each kind of broken upstream ends as simulated decisions; attacks don't open the breaker."""

from __future__ import annotations

import random

import msgspec

from models.breaker import Breaker
from models.config import DetectionConfig
from models.decision import Source, rfc3339
from models.notices import SetMode, seconds
from models.request import Request
from tests.models.traffic import DAY_S, HOUR_S, MIDNIGHT_S, Partition, request

CONFIG = DetectionConfig(mode="enforce")
NOON_S = MIDNIGHT_S + 12 * HOUR_S


def people(start_s: float, seconds: int, *, accounts: int = 300, seed: int = 1) -> list[Request]:
    """Return a busy service: two requests a second by many accounts of what is popular."""
    chance = random.Random(seed)
    made = []
    for n in range(2 * seconds):
        pair = f"pair_{min(int(chance.paretovariate(0.7)), 5_000)}"
        made.append(
            request(
                f"person_{chance.randrange(accounts)}",
                start_s + n / 2,
                pair_ids=[pair],
                request_id=f"{start_s}.{n}",
            )
        )
    return made


def after_a_usual_hour() -> Partition:
    partition = Partition(CONFIG)
    partition.observe(people(NOON_S, 3_600))
    assert partition.decisions == []
    assert not partition.detector.docket.breaker.is_open
    return partition


def meant(partition: Partition) -> set[str]:
    return {d.value for d in partition.decisions if not d.simulated}


def test_all_timestamps_equal_ends_in_the_breaker() -> None:
    partition = after_a_usual_hour()
    stuck = people(NOON_S + HOUR_S, 20_000)
    partition.observe([msgspec.structs.replace(one, ts=NOON_S + HOUR_S) for one in stuck])
    assert partition.detector.docket.breaker.is_open
    assert len(partition.decisions) > 100
    assert len(meant(partition)) <= 0.1 * 300 + 8


def test_one_account_id_for_everybody_is_nobody_to_ban() -> None:
    partition = after_a_usual_hour()
    same = people(NOON_S + HOUR_S, 7_200)
    partition.observe([msgspec.structs.replace(one, account_id="-") for one in same])
    assert partition.detector.docket.breaker.is_open
    # A throttle may come before it can be known; what follows it takes its place.
    assert partition.decisions[-1].simulated
    lifted_s = next(seconds(each.issued_at) for each in partition.decisions if each.simulated)
    assert lifted_s < NOON_S + HOUR_S + 60
    assert all(each.action == "throttle" for each in partition.decisions if not each.simulated)


def test_a_flood_while_others_go_on_is_meant() -> None:
    partition = after_a_usual_hour()
    flood = [
        request("flood", NOON_S + HOUR_S + n / 50, action="generate", request_id=f"f{n}")
        for n in range(20_000)
    ]
    mixed = sorted([*people(NOON_S + HOUR_S, 400, seed=2), *flood], key=lambda one: one.ts)
    partition.observe(mixed)
    assert meant(partition) == {"flood"}
    assert not partition.detector.docket.breaker.is_open


def test_missing_pair_ids_hit_nobody() -> None:
    partition = after_a_usual_hour()
    bare = people(NOON_S + HOUR_S, 3_600)
    partition.observe([msgspec.structs.replace(one, pair_ids=[]) for one in bare])
    assert partition.decisions == []


def test_one_pair_id_for_everything_hits_nobody() -> None:
    partition = after_a_usual_hour()
    same = people(NOON_S + HOUR_S, 3_600)
    partition.observe([msgspec.structs.replace(one, pair_ids=["null"]) for one in same])
    assert partition.decisions == []


def test_pair_ids_that_are_new_each_time_end_in_the_breaker() -> None:
    partition = after_a_usual_hour()
    fresh = people(NOON_S + HOUR_S, 4 * 3_600)
    partition.observe([msgspec.structs.replace(one, pair_ids=[one.request_id]) for one in fresh])
    assert len(meant(partition)) <= 0.1 * 300 + 8
    assert partition.detector.docket.breaker.is_open
    assert not any(each.action == "ban" and not each.simulated for each in partition.decisions)


def test_copiers_below_the_share_are_stopped_and_open_nothing() -> None:
    partition = after_a_usual_hour()
    start_s = NOON_S + HOUR_S
    copying = [
        request(f"copier_{n}", start_s + n + 2 * i, pair_ids=[f"rare_{n}_{i}"])
        for n in range(12)
        for i in range(400)
    ]
    partition.observe(sorted([*people(start_s, 900, seed=2), *copying], key=lambda one: one.ts))
    assert meant(partition) == {f"copier_{n}" for n in range(12)}
    assert not partition.detector.docket.breaker.is_open


def test_a_clock_that_jumps_and_comes_back_hits_nobody() -> None:
    partition = after_a_usual_hour()
    for start_s in (NOON_S + 1.9 * HOUR_S, NOON_S + HOUR_S, NOON_S + DAY_S, NOON_S + 1.2 * HOUR_S):
        partition.observe(people(start_s, 1_800, seed=int(start_s)))
    assert partition.decisions == []


def test_only_a_person_closes_it() -> None:
    partition = after_a_usual_hour()
    stuck = people(NOON_S + HOUR_S, 20_000)
    partition.observe([msgspec.structs.replace(one, ts=NOON_S + HOUR_S) for one in stuck])
    partition.observe(people(NOON_S + 30 * HOUR_S, 3_600, seed=3))
    assert partition.detector.docket.breaker.is_open
    partition.checkpoint()
    partition.restart()
    assert partition.detector.docket.breaker.is_open
    said = SetMode(
        id="n1", by="mira", why="mended", issued_at=rfc3339(NOON_S + 31 * HOUR_S), mode="enforce"
    )
    partition.detector.apply(said, Source("notices", 3, 0))
    assert not partition.detector.docket.breaker.is_open


def test_a_few_accounts_of_a_quiet_partition_are_no_blast() -> None:
    breaker = Breaker()
    for n in range(20):
        breaker.see(n, NOON_S + n)
        breaker.begin_account_hour(NOON_S + n)
    assert not any(breaker.strike(n, NOON_S + 60, 0.1, is_new=True) for n in range(7))
    assert breaker.strike(7, NOON_S + 60, 0.1, is_new=True)


def test_a_gap_in_the_stream_is_not_held_against_who_comes_first_after_it() -> None:
    breaker = Breaker()
    for n in range(7_200):
        breaker.see(n % 300, NOON_S + n / 2)
    later_s = NOON_S + 2 * HOUR_S
    breaker.see(5, later_s)
    assert not breaker.strike(5, later_s + 1, 0.1, is_new=True)


def test_who_is_alone_for_a_day_is_not_taken_for_everybody() -> None:
    breaker = Breaker()
    for n in range(15):
        breaker.see(n % 2, NOON_S + 60 * n)
    breaker.see(7, NOON_S + 3_600)
    assert not breaker.strike(7, NOON_S + DAY_S, 0.1, is_new=True)
