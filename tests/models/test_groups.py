"""Groups: who divides the catalogue is found, who works together or merely sits together is not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import DetectionConfig
from models.decision import Source
from models.detector import CHOOSING
from models.facts import Facts
from models.groups import Activities, Groups
from models.groups.day import TOLD_FROM, Day
from models.groups.evidence import find, weigh
from models.groups.group import MEMBERS_MAX
from models.groups.groups import REJECTED_S
from models.groups.manner import is_manner
from models.groups.member import Member
from models.hashing import hash32, hash64
from models.judge import foreign_pairs
from models.link_activity import (
    SAMPLE_MAX,
    VERSION,
    LinkActivity,
    LinkActivityError,
    LinkActivityVersionError,
)
from models.notices import Allow, Reject, SetMode, Subject
from models.population import Population
from models.profile import Profile
from models.profile_state import StateVersionError
from models.request import Request
from models.steering import Steering
from models.verdict import BAN_LEVEL_OF
from tests.contract import assert_valid_decision
from tests.models.traffic import CATALOGUE, DAY_S, HOUR_S, MIDNIGHT_S, request

LINK = {"org": "x.example"}
POPULAR = 400


@cache
def population() -> Population:
    """Return peers who read what is popular, of a catalogue that has mostly been read once."""
    known = Population(DetectionConfig(catalogue_size=CATALOGUE))
    rng = random.Random(1)
    for n in range(CATALOGUE):
        known.popularity.learn((hash64(f"pair_{n}"),), rng.getrandbits(32))
    for reader in range(4_000):
        pair = hash64(popular(rng))
        known.popularity.learn((pair,), reader, CATALOGUE, chosen=True, weighed=True)
    return known


def popular(rng: random.Random) -> str:
    return f"pair_{min(int(rng.paretovariate(0.6)), POPULAR)}"


def rare(rng: random.Random) -> str:
    return f"pair_{rng.randrange(POPULAR, CATALOGUE)}"


def day_of(
    account: str, pairs: Sequence[str], *, day: int = 0, owner: str | None = None, **told: object
) -> list[Request]:
    """Return a day on which an account opens these pairs, a minute apart."""
    start_s = MIDNIGHT_S + day * DAY_S + 9 * HOUR_S + hash32(account) % 3_600
    told.setdefault("links", LINK)
    return [
        request(account, start_s + 60 * n, pair_ids=[pair], owner_id=owner, **told)
        for n, pair in enumerate(pairs)
    ]


def told_of(*days: Iterable[Request]) -> list[LinkActivity]:
    """Return what is told of these requests behind their links, in the order of their times."""
    return [activity for activity in all_told_of(*days) if not is_manner(activity.link)]


def all_told_of(*days: Iterable[Request]) -> list[LinkActivity]:
    """Return all that is told of these requests, also of the manner."""
    activities = Activities(population(), lambda _: None)
    profiles: dict[str, Profile] = {}
    told = []
    for one in sorted((one for day in days for one in day), key=lambda one: one.ts):
        profile = profiles.setdefault(one.account_id, Profile(one.ts, hash32(one.account_id)))
        if one.ts >= profile.windows[-1].start_s + DAY_S:
            profile.close_day(one.ts, learn=True)
        told += observe(activities, one, profile)
        profile.count(one.ts, 1, 1.0, 0.0, 0, 0.0)
    return told


def observe(
    activities: Activities, one: Request, profile: Profile | None = None
) -> list[LinkActivity]:
    """Show a request to activities as the detector does: if it brings pairs of others."""
    facts, profile = Facts(one), profile or Profile(one.ts, hash32(one.account_id))
    pairs = foreign_pairs(facts)
    if not pairs:
        return []
    if one.action not in CHOOSING:
        return activities.turn(facts, profile, pairs)
    looks = population().popularity.look(pairs, profile.mark)
    return activities.observe(facts, profile, pairs, looks)


def copiers(count: int, pairs: int, *, seed: int = 1, day: int = 0) -> list[list[Request]]:
    """Return the days of accounts that divide the rare pairs among them."""
    rng = random.Random(seed)
    shards = [f"pair_{n}" for n in range(POPULAR, CATALOGUE)]
    rng.shuffle(shards)
    return [
        day_of(f"copier_{n}", shards[n * pairs : (n + 1) * pairs], day=day) for n in range(count)
    ]


def people(count: int, pairs: int, *, seed: int = 2, day: int = 0) -> list[list[Request]]:
    """Return the days of colleagues who read what everybody reads, and a rare pair now and then."""
    rng = random.Random(seed)
    return [
        day_of(
            f"person_{n}",
            [rare(rng) if rng.random() < 0.1 else popular(rng) for _ in range(pairs)],
            day=day,
        )
        for n in range(count)
    ]


def new_groups(
    config: DetectionConfig | None = None, rows: dict[str, bytes] | None = None
) -> Groups:
    return Groups(
        config or DetectionConfig(), "test", "link-activity", 0, ({} if rows is None else rows).get
    )


def judged(
    activities: Sequence[LinkActivity], groups: Groups | None = None
) -> tuple[set[str], int]:
    """Return who was found, and how many reviews there were."""
    judgement = (groups or new_groups()).observe(activities, range(len(activities)))
    for review in judgement.reviews:
        assert_valid_decision(review)
        assert (review.scope, review.action, review.value) == ("group", "review", "org:x.example")
    return {verdict.account_id for verdict in judgement.verdicts}, len(judgement.reviews)


def test_thirty_who_each_take_a_modest_shard_are_found_together() -> None:
    found, reviews = judged(told_of(*copiers(30, 60)))
    assert found == {f"copier_{n}" for n in range(30)}
    assert 1 <= reviews <= 6, "a group that grows is told of again as it doubles, not each time"


def test_two_accounts_are_a_group_already() -> None:
    assert judged(told_of(*copiers(2, 120))) == ({"copier_0", "copier_1"}, 1)


def test_one_copier_beside_honest_colleagues_is_no_group() -> None:
    assert judged(told_of(*copiers(1, 150), *people(40, 30))) == (set(), 0)


def test_the_three_of_a_company_of_two_hundred_are_found_and_nobody_else() -> None:
    found, reviews = judged(told_of(*copiers(3, 150), *people(197, 20)))
    assert found == {"copier_0", "copier_1", "copier_2"}
    assert reviews


def test_people_behind_one_link_are_left_alone() -> None:
    for seed in range(5):
        days = [people(60, 40, seed=seed, day=day) for day in range(3)]
        assert judged(told_of(*(one for day in days for one in day))) == (set(), 0)


def test_colleagues_who_open_each_others_pairs_are_left_alone() -> None:
    rng = random.Random(3)
    shared = [rare(rng) for _ in range(120)]
    assert judged(told_of(*(day_of(f"a{n}", rng.sample(shared, 60)) for n in range(8)))) == (
        set(),
        0,
    )


def test_pairs_that_belong_to_members_are_no_evidence_even_if_each_is_opened_once() -> None:
    rng = random.Random(4)
    days = [
        day_of(f"a{n}", [rare(rng) for _ in range(20)], owner=f"a{other}", action="view")
        for n in range(6)
        for other in range(6)
        if n != other
    ]
    own_work = [one for day in days for one in day]
    known = told_of(*(day_of(f"a{n}", [popular(rng) for _ in range(10)]) for n in range(6)))
    assert judged([*known, *told_of(own_work)]) == (set(), 0)


def test_a_class_with_the_same_task_is_left_alone() -> None:
    rng = random.Random(5)
    task = [rare(rng) for _ in range(120)]
    assert judged(told_of(*(day_of(f"s{n}", rng.sample(task, 90)) for n in range(25)))) == (
        set(),
        0,
    )


def test_a_member_who_keeps_an_ordinary_life_beside_it_is_still_found() -> None:
    rng = random.Random(6)
    mixed = [
        [*day, *day_of(f"copier_{n}", [popular(rng) for _ in range(25)], action="download")]
        for n, day in enumerate(copiers(12, 75))
    ]
    found, _ = judged(told_of(*mixed))
    assert len(found) >= 11


def turned(
    account: str, pages: Iterable[Sequence[str]], *, day: int = 0, opens: int = 0, **told: object
) -> list[Request]:
    """Return a day on which an account turns these pages, and opens so many pairs of each."""
    start_s = MIDNIGHT_S + day * DAY_S + hash32(account) % 3_600
    told.setdefault("links", LINK)
    made = []
    for n, page in enumerate(pages):
        at_s = start_s + 1_200 * n
        made.append(request(account, at_s, action="list", pair_ids=list(page), **told))
        made += [
            request(account, at_s + 30 * m, pair_ids=[pair], **told)
            for m, pair in enumerate(page[:opens], start=1)
        ]
    return made


def turners(count: int, pages: int, *, day: int = 0, opens: int = 0) -> list[list[Request]]:
    """Return the days of accounts that divide pages of rare pairs among them."""
    rng = random.Random(11)
    shards = [f"pair_{n}" for n in range(POPULAR, CATALOGUE)]
    rng.shuffle(shards)
    divided = [shards[at : at + 30] for at in range(0, count * pages * 30, 30)]
    return [
        turned(f"copier_{n}", divided[n * pages : (n + 1) * pages], day=day, opens=opens)
        for n in range(count)
    ]


def front_page(rng: random.Random, size: int = 30) -> list[str]:
    return list(dict.fromkeys(popular(rng) for _ in range(3 * size)))[:size]


def test_ten_who_divide_the_pages_of_a_list_and_open_nothing_are_found_together() -> None:
    found, reviews = judged(told_of(*turners(10, 30)))
    assert found == {f"copier_{n}" for n in range(10)}
    assert reviews


def test_strangers_who_divide_pages_are_found_by_how_they_go_about_it() -> None:
    found = found_by_manner(*strangers([*turners(12, 45), *people(200, 25)]))
    assert found == {f"copier_{n}" for n in range(12)}


def test_pages_tell_what_was_shown_and_how_much() -> None:
    judgement = new_groups().observe(told := told_of(*turners(10, 30)), range(len(told)))
    review = judgement.reviews[-1]
    assert review.evidence.distinct_pairs == pytest.approx(30 * review.evidence.requests, rel=0.1)
    (pages,) = (each for each in review.reasons if each.unit == "pages")
    assert pages.observed == review.evidence.requests


def test_a_review_says_when_members_are_active() -> None:
    told = told_of(*turners(10, 30))
    review = new_groups().observe(told, range(len(told))).reviews[0]
    (hours,) = (each for each in review.reasons if each.unit == "hours")
    latest = {activity.account_id: activity for activity in told if activity.at_s <= told[-1].at_s}
    assert 0 < hours.expected <= hours.observed <= 24
    assert hours.weight == 0
    assert hours.observed <= max(each.hours.bit_count() for each in latest.values()) + 1


def test_colleagues_who_turn_the_same_pages_are_left_alone() -> None:
    rng = random.Random(12)
    pages = [[rare(rng) for _ in range(30)] for _ in range(40)]
    same = (turned(f"a{n}", rng.sample(pages, 30)) for n in range(8))
    assert judged(told_of(*same)) == (set(), 0)


def test_colleagues_who_turn_the_pages_that_everybody_is_shown_are_left_alone() -> None:
    rng = random.Random(13)
    days = (turned(f"a{n}", [front_page(rng) for _ in range(40)]) for n in range(8))
    assert judged(told_of(*days)) == (set(), 0)


def test_a_page_of_which_a_pair_is_opened_is_no_choice() -> None:
    pages = [[f"pair_{30 * n + m}" for m in range(30)] for n in range(20, 60)]
    once = told_of(turned("a", pages))
    assert [activity.pages for activity in once] == [activity.chosen for activity in once]
    assert [activity.shown for activity in once] == [30 * activity.chosen for activity in once]
    assert once[-1].chosen < len(pages), "the last one was not turned"
    both = told_of(turned("a", pages, opens=1))
    assert {activity.pages for activity in both} == {0}


def test_who_looks_closer_at_some_of_what_pages_show_takes_no_pages() -> None:
    pages = [[f"pair_{30 * n + m}" for m in range(30)] for n in range(20, 140)]
    day = []
    for n, page in enumerate(pages):
        at_s = MIDNIGHT_S + 60 * n
        day.append(request("a", at_s, action="list", pair_ids=page, links=LINK))
        if n % 5 == 0:
            day.append(request("a", at_s + 9, pair_ids=page[:1], links=LINK))
    told = told_of(day)
    assert told[-1].chosen > 20
    assert {activity.pages for activity in told} == {0}


def test_pages_count_again_thirty_pages_after_a_pair_was_opened() -> None:
    pages = [[f"pair_{30 * n + m}" for m in range(30)] for n in range(20, 140)]
    opened = [f"pair_{n}" for n in range(300, 320)]
    morning = [
        request("a", MIDNIGHT_S + n, pair_ids=[pair], links=LINK) for n, pair in enumerate(opened)
    ]
    later = [
        request("a", MIDNIGHT_S + 3_600 + 60 * n, action="list", pair_ids=page, links=LINK)
        for n, page in enumerate(pages)
    ]
    for openings, passed_over in ((20, 30), (1, 10)):
        last = told_of([*morning[:openings], *later])[-1]
        turned_by_then = round((last.at_s - later[0].ts) / 60)
        # A pair among so many may be taken for one that it has been shown before.
        assert last.pages == pytest.approx(turned_by_then - passed_over, abs=2)


@pytest.mark.parametrize("odd_one", [True, False])
def test_a_page_says_what_its_pairs_say_and_not_the_one_that_it_goes_by(odd_one: bool) -> None:
    rng = random.Random(15)

    def page() -> list[str]:
        one, others = (rare, popular) if odd_one else (popular, rare)
        shown = list(dict.fromkeys(others(rng) for _ in range(90)))[:30]
        shown.sort(key=hash64)
        candidates = sorted({one(rng) for _ in range(400)}, key=hash64)
        return [candidates[0], *[pair for pair in shown if hash64(pair) > hash64(candidates[0])]]

    told = told_of(turned("a", [page() for _ in range(12)]))
    assert (told[-1].weight < 0) == odd_one


def test_a_page_that_is_asked_for_again_and_again_is_chosen_once() -> None:
    rng = random.Random(16)
    pages = [[rare(rng) for _ in range(30)] for _ in range(2)]
    activities = Activities(population(), lambda _: None)
    for n in range(100):  # others are shown it in between, so that it isn't just returned to
        for account in ("a", "b"):
            at_s = MIDNIGHT_S + 300 * n
            one = request(account, at_s, action="list", pair_ids=pages[n % 2], links=LINK)
            assert observe(activities, one) == []


def test_pages_that_everybody_is_shown_are_not_missed_among_pairs_that_copiers_opened() -> None:
    few = turned("casual", [[f"pair_{n}" for n in range(at, at + 10)] for at in range(1, 61, 10)])
    latest = {activity.account_id: activity for activity in told_of(*copiers(30, 60), few)}
    weighed = weigh([Member.of(activity) for activity in latest.values()])
    assert weighed.own[list(latest).index("casual")] < 0


def test_who_turns_pages_is_told_of_after_three_of_them() -> None:
    told = told_of(*turners(1, 40))
    assert told[0].pages == told[0].chosen == 3
    assert len(told) < 20


def test_pages_do_not_crowd_out_what_was_chosen_singly() -> None:
    rng = random.Random(14)
    day = Day(19_000, MIDNIGHT_S)
    activities = Activities(population(), {"a": day.to_bytes()}.get)
    pairs = [[rare(rng)] if n % 2 else [rare(rng) for _ in range(60)] for n in range(800)]
    told = []
    for n, some in enumerate(pairs):
        for again in range(1 if n % 2 else 2):  # turned before anything of it is opened
            page = some if not again else [rare(rng) for _ in range(60)]
            action = "view" if n % 2 else "list"
            one = request("a", MIDNIGHT_S + 60 * n + again, pair_ids=page, action=action)
            told += observe(activities, msgspec.structs.replace(one, links=LINK))
    last = [activity for activity in told if not is_manner(activity.link)][-1]
    singly = {hash64(some[0]) >> 32 for some in pairs[1::2]}
    sampled = np.frombuffer(last.pairs, dtype=np.uint32).tolist()
    kept = sum(pair in singly for pair in sampled)
    assert kept == pytest.approx(len(sampled) * (1 - last.pages / last.chosen), abs=20)


def test_who_spoke_like_a_copier_is_told_of_from_the_first_choice_on_the_next_day() -> None:
    told = told_of(*copiers(1, 60), *copiers(1, 60, seed=2, day=1))
    assert next(activity.chosen for activity in told if activity.day == told[-1].day) == 1
    people_told = told_of(*people(20, 60), *people(20, 60, seed=3, day=1))
    assert all(activity.chosen >= TOLD_FROM for activity in people_told)


def test_what_a_manner_comes_to_is_no_measure_of_links() -> None:
    groups = new_groups()
    for day in range(20):
        alike = strangers(turners(40, 9, day=day))
        told = [one for one in all_told_of(*alike) if is_manner(one.link)]
        groups.observe(told, range(len(told)))
    found, reviews = judged(told_of(*copiers(2, 120, day=21)), groups)
    assert (found, reviews) == ({"copier_0", "copier_1"}, 1)


def strangers(days: Iterable[list[Request]]) -> list[list[Request]]:
    """Return these days without anything in common but how people go about it."""
    return [
        [
            msgspec.structs.replace(
                one, links={"device": one.account_id}, ip=f"10.{n % 250}.{n // 250}.1"
            )
            for one in day
        ]
        for n, day in enumerate(days)
    ]


def found_by_manner(*days: Iterable[Request]) -> set[str]:
    """Return who is found, where nothing but a manner may tie them."""
    told, groups = all_told_of(*days), new_groups()
    judgement = groups.observe(told, range(len(told)))
    assert all(is_manner(review.value) for review in judgement.reviews)
    return {verdict.account_id for verdict in judgement.verdicts}


def test_strangers_who_divide_the_catalogue_are_found_by_how_they_go_about_it() -> None:
    found = found_by_manner(*strangers([*copiers(30, 90), *people(300, 25)]))
    assert found == {f"copier_{n}" for n in range(30)}


def test_strangers_who_read_what_people_read_are_left_alone() -> None:
    assert found_by_manner(*strangers([*people(300, 40), *people(300, 40, day=1)])) == set()


def test_a_single_copier_is_no_group_by_its_manner() -> None:
    assert found_by_manner(*strangers([*copiers(1, 150), *people(100, 25)])) == set()


def test_a_manner_asks_more_of_each_than_a_card() -> None:
    own = np.array([160.0] * 20 + [70.0] * 4 + [0.0] * 56)
    assert len(find(own, 200).found) == 24
    assert len(find(own, 200, by_manner=True).found) == 20


def test_repeats_change_nothing() -> None:
    told = told_of(*copiers(10, 60))
    twice = [activity for activity in told for _ in range(2)]
    once, again = new_groups(), new_groups()
    first = once.observe(told, range(len(told)))
    second = again.observe(twice, [n // 2 for n in range(len(twice))])
    assert (first.reviews, first.verdicts) == (second.reviews, second.verdicts)
    assert second.repeated == len(told)
    third = again.observe(told, range(len(told)))
    assert (third.reviews, third.verdicts, third.repeated) == ([], [], len(told))


@pytest.mark.parametrize("seed", range(5))
def test_another_order_of_arrival_finds_the_same_members(seed: int) -> None:
    told = told_of(*copiers(12, 70), *people(30, 30))
    found, _ = judged(told)
    random.Random(seed).shuffle(told)
    assert judged(told)[0] == found


@pytest.mark.parametrize("seed", range(5))
def test_records_that_overtake_each_other_by_a_minute_lead_to_the_same_reviews_and_members(
    seed: int,
) -> None:
    chance = random.Random(seed)
    told = told_of(*copiers(12, 70, seed=seed), *people(30, 30, seed=seed))
    mixed = sorted(told, key=lambda activity: activity.at_s + chance.uniform(0, 60))
    one, other = (new_groups().observe(some, range(len(some))) for some in (told, mixed))
    assert [review.decision_id for review in one.reviews] == [
        review.decision_id for review in other.reviews
    ]
    first, moved = (
        {verdict.account_id: verdict.at_s for verdict in reversed(judgement.verdicts)}
        for judgement in (one, other)
    )
    assert first.keys() == moved.keys()
    for name, at_s in first.items():
        told_s = [activity.at_s for activity in told if activity.account_id == name]
        assert abs(told_s.index(at_s) - told_s.index(moved[name])) <= 1


def test_a_log_cut_anywhere_and_continued_from_snapshots_gives_the_same() -> None:
    days = [one for day in range(3) for one in (*copiers(8, 40, day=day), *people(20, 20, day=day))]
    told = told_of(*days)
    whole = new_groups().observe(told, range(len(told)))
    assert whole.reviews
    rng, rows, common = random.Random(7), dict[str, bytes](), b""
    groups, at, reviews, verdicts = new_groups(rows=rows), 0, [], []
    while at < len(told):
        size = rng.choice((1, 5, 40))
        judgement = groups.observe(told[at : at + size], range(at, at + size)[: len(told) - at])
        reviews += judgement.reviews
        verdicts += judgement.verdicts
        at += size
        snapshot = groups.snapshot()
        rows.update(snapshot.groups)
        common = snapshot.level
        groups.trim(0)
        assert groups.live_groups == 0
        if rng.random() < 0.5:
            groups = Groups(DetectionConfig(), "test", "link-activity", 0, rows.get)
            groups.restore(common)
    assert (reviews, verdicts) == (whole.reviews, whole.verdicts)


def test_ids_of_decisions_do_not_depend_on_offsets() -> None:
    told = told_of(*copiers(10, 60))
    one = new_groups().observe(told, range(len(told)))
    other = new_groups().observe(told, range(1_000, 1_000 + len(told)))
    assert [review.decision_id for review in one.reviews] == [
        review.decision_id for review in other.reviews
    ]
    assert one.verdicts == other.verdicts


def test_a_link_of_very_many_accounts_stays_small_and_those_who_copy_are_still_found() -> None:
    groups = new_groups()
    assert judged(told_of(*people(600, 12)), groups) == (set(), 0)
    found, _ = judged(told_of(*copiers(20, 80, day=1)), groups)
    assert found == {f"copier_{n}" for n in range(20)}
    (row,) = groups.snapshot().groups.values()
    assert len(row) < MEMBERS_MAX * 1_000 + 2_000


def test_what_changes_nothing_in_a_large_crowd_is_not_written_anew() -> None:
    groups = new_groups()
    told = told_of(*copiers(MEMBERS_MAX, 30), *people(300, 9))
    groups.observe(told, range(len(told)))
    groups.snapshot()
    again = told_of(*people(300, 9))
    groups.observe(again, range(len(again)))
    assert groups.snapshot().groups == {}
    more = told_of(*people(301, 9))[-1:] + told_of(*copiers(1, 60))[-1:]
    groups.observe(more, range(len(more)))
    assert set(groups.snapshot().groups) == {"org:x.example"}


def test_a_provider_that_everybody_pays_through_is_no_suspect_and_hides_nobody() -> None:
    groups = new_groups()
    assert judged(told_of(*people(2_000, 9)), groups) == (set(), 0)
    found, _ = judged(told_of(*copiers(30, 100, day=1), *people(500, 20, day=1)), groups)
    assert found == {f"copier_{n}" for n in range(30)}


@pytest.mark.parametrize(("seen", "found"), [(200, 60), (10_000, 60), (1_000_000, 0)])
def test_the_more_there_are_behind_a_link_the_more_each_member_must_say(
    seen: int, found: int
) -> None:
    finding = find(np.array([160.0] * 60 + [5.0] * 20), seen)
    assert len(finding.found) == found
    assert not find(np.array([25.0] * 60 + [5.0] * 20), seen).found


def test_a_group_is_what_remains_whoever_is_left_out() -> None:
    alone = find(np.array([500.0, 3.0, -8.0]), 3)
    assert alone.evidence < 10
    assert find(np.array([500.0, 70.0, -8.0]), 3).found == [0, 1]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(-30, 60)), min_size=2, max_size=20),
    st.integers(0, 200),
)
def test_the_evidence_for_a_link_grows_by_no_more_than_that_of_its_members(
    changes: list[tuple[float, float]], others: int
) -> None:
    own, added = np.array(changes).T
    before, after = (find(some, len(own) + others).evidence for some in (own, own + added))
    grown = np.maximum(np.maximum(own + added, 0) - own, 0).sum()
    assert after <= before + grown + 1e-6, "or a group would be weighed too late"


def test_a_rejected_group_is_left_alone_for_a_month_and_no_longer() -> None:
    groups = new_groups()
    first = told_of(*copiers(10, 60))
    assert judged(first, groups)[0]
    reject = Reject(
        id="r1",
        by="ann",
        why="their own data team",
        issued_at="2024-03-05T00:00:00.000Z",
        subject=Subject("group", "org:x.example"),
        decision_id="d",
    )
    [answer] = groups.hear(reject, Source("notices", 0, 0))
    assert answer.action == "release"
    assert answer.revision > 1
    assert groups.hear(reject, Source("notices", 0, 1)) == []
    assert judged(told_of(*copiers(10, 60, day=2)), groups) == (set(), 0)
    later = 3 + int(REJECTED_S // DAY_S)
    assert judged(told_of(*copiers(10, 60, day=later)), groups)[1] >= 1


def test_an_allowed_link_is_reviewed_no_more_and_a_person_is_asked_anew_if_it_goes_on() -> None:
    steering = Steering(DetectionConfig())
    groups = Groups(DetectionConfig(), "test", "link-activity", 0, lambda _: None, steering)
    allow = Allow(
        id="a1",
        by="ann",
        why="a migration",
        issued_at="2024-03-04T12:00:00.000Z",
        subject=Subject("group", "org:x.example"),
        expires_at="2024-03-06T00:00:00.000Z",
    )
    reviews = judged(told_of(*copiers(10, 60)), groups)[1]
    steering.allow(allow)
    [answer] = groups.hear(allow, Source("notices", 0, 0))
    assert_valid_decision(answer)
    assert (answer.action, answer.revision) == ("release", reviews + 1)
    assert "(allow, message a1)" in answer.reasons[0].signal
    assert judged(told_of(*copiers(10, 60, day=1)), groups) == (set(), 0)
    found, reviews = judged(told_of(*copiers(10, 60, day=2)), groups)
    assert len(found) == 10
    assert reviews >= 1


def test_an_allowance_that_is_taken_back_ends_no_review() -> None:
    groups = new_groups()
    judged(told_of(*copiers(10, 60)), groups)
    over = Allow(
        id="a1",
        by="ann",
        why="a typo",
        issued_at="2024-03-04T12:00:00.000Z",
        subject=Subject("group", "org:x.example"),
        expires_at="2024-03-04T12:00:00.000Z",
    )
    assert groups.hear(over, Source("notices", 0, 0)) == []


def test_a_scenario_that_is_off_finds_nothing() -> None:
    config = DetectionConfig(scenarios={"coordinated-sweep": "off"})
    assert judged(told_of(*copiers(30, 60)), new_groups(config)) == (set(), 0)


def test_reviews_are_meant_where_the_scenario_is_enforced() -> None:
    told = told_of(*copiers(10, 60))
    for mode, simulated in (("enforce", False), ("shadow", True)):
        groups = new_groups(DetectionConfig(scenarios={"coordinated-sweep": mode}))  # type: ignore[dict-item]
        reviews = groups.observe(told, range(len(told))).reviews
        assert {review.simulated for review in reviews} == {simulated}


def test_reviews_follow_the_mode_that_people_have_set() -> None:
    config = DetectionConfig(mode="shadow")
    steering = Steering(config)
    groups = Groups(config, "test", "link-activity", 0, lambda _: None, steering)
    told = {"id": "m1", "by": "ann", "why": "it has proved itself"}
    steering.set_mode(SetMode(mode="enforce", issued_at="2024-03-04T00:00:00Z", **told))
    activities = told_of(*copiers(10, 60))
    reviews = groups.observe(activities, range(len(activities))).reviews
    assert {review.simulated for review in reviews} == {False}


def test_a_review_names_the_members_and_how_much_they_have_taken_together() -> None:
    told = told_of(*copiers(10, 60))
    review = new_groups().observe(told, range(len(told))).reviews[-1]
    assert set(review.evidence.linked_accounts) <= {f"copier_{n}" for n in range(10)}
    assert review.evidence.distinct_pairs == pytest.approx(review.evidence.requests, rel=0.1)
    assert review.score > 0.999
    assert review.reasons[0].signal.startswith("accounts behind org:x.example")
    assert review.reasons[0].observed == len(review.evidence.linked_accounts)
    weights = [reason.weight for reason in review.reasons]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1)


def test_who_is_found_beyond_doubt_is_told_from_where_on_members_may_be_banned() -> None:
    told = told_of(*copiers(10, 60))
    verdicts = new_groups().observe(told, range(len(told))).verdicts
    assert {verdict.grave for verdict in verdicts} == {True, False}
    for verdict in verdicts:
        named = [each for each in verdict.reasons if each.signal.startswith(BAN_LEVEL_OF)]
        assert len(named) == verdict.grave
        assert all(each.observed >= each.expected >= 50 for each in named), "1 in 100,000 at least"


def test_an_account_is_told_of_as_its_choices_grow() -> None:
    told = told_of(*copiers(1, 400))
    chosen = [activity.chosen for activity in told]
    assert chosen[0] == TOLD_FROM
    assert all(after >= 1.2 * before for before, after in itertools.pairwise(chosen))
    assert len(told) <= 22
    assert all(len(activity.pairs) // 4 <= SAMPLE_MAX for activity in told)
    assert max(len(activity.to_bytes()) for activity in told) < 1_024


def test_who_reads_what_people_read_is_told_of_once_a_day() -> None:
    told = told_of(*people(20, 200, seed=8))
    assert len(told) <= 20 + 2


def test_a_sample_is_a_matter_of_the_pairs_and_not_of_their_order() -> None:
    rng = random.Random(9)
    pairs = [rng.getrandbits(64) for _ in range(500)]
    days = [Day(19_000, MIDNIGHT_S) for _ in range(2)]
    for day, order in zip(days, (pairs, pairs[::-1]), strict=True):
        for pair in order:
            day.choose(f"pair_{pair}", pair, 20, None)
    one, other = days
    assert (one.sample, one.below) == (other.sample, other.below)
    assert len(one.sample) == SAMPLE_MAX


def test_own_pairs_and_failures_are_no_choices() -> None:
    pairs = [f"pair_{n}" for n in range(900, 960)]
    for told in ({"owner_id": "a"}, {"action": "generate"}, {"status": 404}):
        days = [request("a", MIDNIGHT_S + n, pair_ids=[p], **told) for n, p in enumerate(pairs)]
        assert told_of(days) == []


def test_choices_taken_up_from_a_snapshot_go_on_alike() -> None:
    (requests,) = copiers(1, 150)
    rows: dict[str, bytes] = {}
    whole, parts = Activities(population(), lambda _: None), Activities(population(), rows.get)
    profile = Profile(requests[0].ts, hash32(requests[0].account_id))
    for one in requests:
        assert observe(parts, one, profile) == observe(whole, one, profile)
        profile.count(one.ts, 1, 1.0, 0.0, 0, 0.0)
        rows.update(parts.snapshot())
        parts.forget(["copier_0"])
    assert len(rows["copier_0"]) < 1_500


def test_choices_are_looked_for_where_there_may_be_some_of_today() -> None:
    asked: list[str] = []

    def load(account_id: str) -> None:
        asked.append(account_id)

    ((first, *_),), ((second, third, *_),) = copiers(1, 3), copiers(1, 3, seed=2, day=1)
    profile = Profile(first.ts, hash32(first.account_id))
    for one, looks in ((first, False), (second, False), (third, True)):
        observe(Activities(population(), load), one, profile)
        assert bool(asked) == looks, one
        if one.ts >= profile.windows[-1].start_s + DAY_S:
            profile.close_day(one.ts, learn=True)
        profile.count(one.ts, 1, 1.0, 0.0, 0, 0.0)


def test_a_page_that_waits_to_be_turned_is_taken_up_from_a_snapshot() -> None:
    (requests,) = turners(1, 60)
    rows: dict[str, bytes] = {}
    whole, parts = Activities(population(), lambda _: None), Activities(population(), rows.get)
    profile = Profile(requests[0].ts, hash32(requests[0].account_id))
    for one in requests:
        assert observe(parts, one, profile) == observe(whole, one, profile)
        profile.count(one.ts, 1, 1.0, 0.0, 0, 0.0)
        rows.update(parts.snapshot())
        parts.forget(["copier_0"])


def test_records_and_members_of_before_there_were_pages_are_taken_up() -> None:
    told = told_of(*copiers(2, 60))
    fields = [msgspec.msgpack.decode(activity.to_bytes()) for activity in told]
    old = [LinkActivity.from_bytes(msgspec.msgpack.encode(each[:-2])) for each in fields]
    assert old == told


def test_a_record_survives_the_wire_and_one_of_a_newer_version_is_refused() -> None:
    (activity, *_) = told_of(*copiers(1, 20))
    assert LinkActivity.from_bytes(activity.to_bytes()) == activity
    newer = msgspec.structs.replace(activity, version=VERSION + 1)
    with pytest.raises(LinkActivityVersionError):
        LinkActivity.from_bytes(newer.to_bytes())


@cache
def record() -> bytes:
    return told_of(*copiers(1, 20))[-1].to_bytes()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_are_a_record_or_none_and_never_harm(noise: bytes, at: int) -> None:
    whole = record()
    for data in (noise, whole[:at] + noise[:2] + whole[at + 2 :]):
        try:
            found = LinkActivity.from_bytes(data)
        except LinkActivityError:
            continue
        judged([found, msgspec.structs.replace(found, account_id="other")])


def test_a_group_of_a_newer_version_is_refused() -> None:
    told = told_of(*copiers(2, 20))
    groups = new_groups()
    groups.observe(told, range(len(told)))
    fields = msgspec.msgpack.decode(groups.snapshot().groups["org:x.example"])
    newer = msgspec.msgpack.encode([fields[0] + 1, *fields[1:]])
    with pytest.raises(StateVersionError):
        judged(told, new_groups(rows={"org:x.example": newer}))


def test_nobody_is_told_of_before_it_is_known_what_people_read() -> None:
    unknowing = Population(DetectionConfig(catalogue_size=CATALOGUE))
    activities = Activities(unknowing, lambda _: None)
    for one in day_of("a", [f"pair_{n}" for n in range(100)]):
        facts = Facts(one)
        pairs = foreign_pairs(facts)
        looks = unknowing.popularity.look(pairs, 1)
        assert activities.observe(facts, Profile(one.ts, 1), pairs, looks) == []
