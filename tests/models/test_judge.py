"""What is learned from whom, and who is left alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache
from itertools import chain

import pytest

from models.hashing import hash64
from models.request import Request
from tests.models.traffic import (
    CATALOGUE,
    DAY_S,
    HOUR_S,
    MIDNIGHT_S,
    Partition,
    request,
    views,
)
from tests.models.traffic import traffic as some_days

TODAY_S = MIDNIGHT_S + 3 * DAY_S


@cache
def _past() -> list[Request]:
    return [one for one in some_days(5, days=3) if one.account_id.startswith("person")]


def experienced() -> Partition:
    """Return a partition that has seen three days of people."""
    partition = Partition()
    partition.observe(_past())
    return partition


def ladders(partition: Partition) -> list[list[float]]:
    return [list(tail.reached) for tail in partition.detector.population.tails]


def rare(n: int) -> str:
    return f"pair_{CATALOGUE - 1 - n}"


def test_who_comes_back_to_the_same_rare_pair_is_left_alone() -> None:
    partition = experienced()
    fan = views("fan", TODAY_S, 40, [rare(0), rare(1), *[rare(2)] * 200])
    assert partition.observe(fan).decisions == []
    assert partition.profile("fan").read == 3


def test_a_pair_that_one_response_names_thrice_is_read_once() -> None:
    partition = experienced()
    partition.observe([request("a", TODAY_S, pair_ids=[rare(0)] * 3)])
    assert partition.profile("a").read == 1


def test_reading_the_catalogue_slowly_is_seen_and_a_favourite_in_between_hides_nothing() -> None:
    for pairs in (
        [rare(n) for n in range(300)],
        list(chain.from_iterable((rare(n), "pair_1") for n in range(300))),
    ):
        partition = experienced()
        scenarios = {
            d.scenario for d in partition.observe(views("a", TODAY_S, 120, pairs)).decisions
        }
        assert scenarios == {"slow-drip"}


def test_opening_what_a_page_has_shown_is_evidence_too() -> None:
    partition, log = experienced(), []
    for page in range(20):
        shown = [rare(20 * page + n) for n in range(20)]
        ts = TODAY_S + page * 1_200
        log.append(request("a", ts, action="list", pair_ids=shown))
        log += [request("a", ts + 60 * n + 30, pair_ids=[pair]) for n, pair in enumerate(shown)]
    assert {one.scenario for one in partition.observe(log).decisions} == {"slow-drip"}


def test_a_page_shows_pairs_and_chooses_none() -> None:
    partition = experienced()
    pages = [
        request("a", TODAY_S + n, action="list", pair_ids=[rare(20 * n + m) for m in range(20)])
        for n in range(10)
    ]
    partition.observe(pages)
    profile = partition.profile("a")
    assert profile.read == 0
    assert profile.pairs_today == pytest.approx(200, rel=0.1)


def test_own_pairs_failures_and_generations_are_no_coverage() -> None:
    partition = experienced()
    spared = {"owner_id": "a"}, {"status": 404}, {"status": 503}, {"action": "generate"}
    partition.observe(
        [request("a", TODAY_S + n, pair_ids=[rare(n)], **told) for n, told in enumerate(spared)]
    )
    profile = partition.profile("a")
    assert (profile.windows[-1].new_pairs, profile.read) == (0, 0)
    assert profile.windows[-1].requests == 4


def test_fetching_own_pairs_and_trying_again_in_an_outage_is_no_flood() -> None:
    for told in ({"owner_id": "a"}, {"status": 503}):
        partition = experienced()
        retries = [request("a", TODAY_S + n / 40, action="view", **told) for n in range(1_200)]
        assert partition.observe(retries).decisions == []
    partition = experienced()
    flood = [request("a", TODAY_S + n / 40, action="generate") for n in range(1_200)]
    assert [decision.scenario for decision in partition.observe(flood).decisions] == [
        "request-flood"
    ]


def test_a_suspect_day_leaves_no_trace_in_the_ladders() -> None:
    partition = experienced()
    partition.observe([request("person_0", TODAY_S)])  # the new day has begun, for everybody
    before = ladders(partition)
    # A sweep, and once its throttle has ended a day that goes on.
    sweep = views("a", TODAY_S + 1, 2, (rare(n) for n in range(300)))
    quiet = [request("a", TODAY_S + 20 * HOUR_S + 20 * n, action="other") for n in range(300)]
    assert partition.observe(sweep + quiet).decisions
    for now, then in zip(ladders(partition), before, strict=True):
        assert now == pytest.approx(then)


def test_a_person_leaves_one_day_in_the_ladders_however_much_happens_in_it() -> None:
    partition = experienced()
    partition.observe([request("person_0", TODAY_S)])
    tail = partition.detector.population.tails[0]
    before = tail.days
    partition.observe(views("newcomer", TODAY_S + 1, 300, (f"pair_{n}" for n in range(50))))
    assert tail.days == before + 1


def test_people_learn_nothing_from_what_a_suspect_reads() -> None:
    partition = experienced()
    partition.observe(views("a", TODAY_S, 2, (rare(n) for n in range(2_000))))
    popularity = partition.detector.population.popularity
    learned = sum(popularity.readers(hash64(rare(n))) > 0 for n in range(100, 2_000))
    assert learned < 100


def test_what_an_account_generates_is_its_own_where_no_owner_is_logged() -> None:
    partition = experienced()
    made = [f"new_{n}" for n in range(50)]
    steps = chain.from_iterable(
        (("generate", pair), ("view", pair), ("view", pair)) for pair in made
    )
    partition.observe(
        [
            request("program", TODAY_S + 9.0 * n, action=action, pair_ids=[pair])
            for n, (action, pair) in enumerate(steps)
        ]
    )
    profile = partition.profile("program")
    assert (profile.windows[-1].new_pairs, profile.read) == (0, 0)
    assert not partition.decisions


def test_a_walk_by_number_is_throttled_after_a_few_pairs_also_before_anything_is_known() -> None:
    partition = Partition()
    partition.observe(
        [request("w", TODAY_S + 2.0 * n, action="view", pair_ids=[f"p_{n}"]) for n in range(20)]
    )
    first = partition.decisions[0]
    assert (first.action, first.value) == ("throttle", "w")
    assert first.evidence.requests < 12


def test_one_request_a_second_is_throttled_within_the_first_minute_of_a_service() -> None:
    rng, partition = random.Random(6), Partition()
    partition.observe(
        [
            request("s", TODAY_S + 1.0 * n, action="view", pair_ids=[f"{rng.getrandbits(128):x}z"])
            for n in range(60)
        ]
    )
    assert partition.decisions[0].value == "s"
    assert {decision.action for decision in partition.decisions} == {"throttle"}


def test_a_program_of_a_customer_at_two_requests_a_second_is_left_alone_from_the_first_day() -> (
    None
):
    partition = Partition()
    partition.observe(
        [
            request("api", TODAY_S + 0.5 * n, action="generate", pair_ids=[f"made_{n}"])
            for n in range(15_000)
        ]
    )
    assert not partition.decisions


def test_an_api_that_reads_what_people_read_all_day_is_left_alone() -> None:
    partition = experienced()
    reads = sorted((one for one in _past() if one.action == "view"), key=lambda one: one.request_id)
    partition.observe(
        [
            request("reader", TODAY_S + 20.0 * n, action="view", pair_ids=one.pair_ids)
            for n, one in enumerate(reads[:1_500])
        ]
    )
    assert not partition.decisions


def kept_time(account: str, pairs: list[str], *, even: bool) -> list[Request]:
    """Return views two minutes apart: exactly, or as people are."""
    rng, ts, log = random.Random(8), TODAY_S, []
    for n, pair in enumerate(pairs):
        ts += 120.0 if even else rng.lognormvariate(4.2, 1.2)
        log.append(request(account, ts, pair_ids=[pair], request_id=f"{account}.{n}"))
    return log


def test_keeping_time_makes_a_copier_known_sooner_and_nobody_who_reads_what_is_popular() -> None:
    rng = random.Random(9)
    unread = [rare(n) for n in range(20)]
    popular = [f"pair_{min(int(rng.paretovariate(0.6)), CATALOGUE)}" for _ in range(600)]
    said = {}
    for name, pairs, even in (
        ("clockwork", unread, True),
        ("copier", unread, False),
        ("frame", popular, True),
    ):
        partition = experienced()
        partition.observe(kept_time(name, pairs, even=even))
        said[name] = partition.profile(name).windows[-1].patience
        level = partition.detector.population.tail("patience", DAY_S).level(0.001)  # type: ignore[union-attr]
    assert said["clockwork"] > 1.2 * said["copier"] > 0
    assert said["frame"] < level / 2


def test_keeping_time_says_little_while_little_is_known_of_the_pairs() -> None:
    partition = Partition()
    people = [one for one in _past() if one.ts < MIDNIGHT_S + 4 * HOUR_S]
    partition.observe(people)
    assert not partition.detector.population.popularity.classes.tells
    start_s = MIDNIGHT_S + 4 * HOUR_S
    partition.observe(views("frame", start_s, 30.0, [f"picture_{n}" for n in range(240)]))
    assert partition.profile("frame").windows[-1].patience < 60
    assert partition.decisions == []


def pages(account: str, shown: Iterable[list[str]]) -> list[Request]:
    return [
        request(account, TODAY_S + 25 * n, action="search", pair_ids=pair_ids)
        for n, pair_ids in enumerate(shown)
    ]


def test_page_after_page_of_what_is_new_is_a_harvest_unless_some_of_it_is_opened() -> None:
    unread = [[rare(40 * n + m) for m in range(40)] for n in range(100)]
    partition = experienced()
    decisions = partition.observe(pages("harvester", unread)).decisions
    assert decisions
    assert decisions[0].scenario == "page-harvest"
    assert decisions[0].limit_per_minute is not None
    assert decisions[0].limit_per_minute < 1
    log = pages("scroller", unread)
    for n in range(10, 100, 10):
        opened = request("scroller", TODAY_S + 25 * n + 9, pair_ids=[f"pair_{n}"])
        log.insert(n + n // 10, opened)
    partition = experienced()
    partition.observe(log)
    assert partition.profile("scroller").windows[1].passed <= 600
    assert "page-harvest" not in {one.scenario for one in partition.decisions}


def test_a_program_that_reads_the_same_page_again_and_again_harvests_nothing() -> None:
    partition = experienced()
    partition.observe(pages("poller", [[f"pair_{m}" for m in range(60)]] * 140))
    assert partition.profile("poller").windows[1].passed < 70
    assert partition.decisions == []
