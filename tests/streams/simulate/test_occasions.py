"""What befalls honest customers looks at a glance like an attack, and is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from models.request import Request
from streams.simulate import START_S, World, simulate
from streams.simulate.mix import Mix
from streams.simulate.people import KINDS

DAY_S = 86_400.0
DAYS = 5.0


@pytest.fixture(scope="module")
def groups() -> tuple[World, list[Request], dict[str, list[Request]]]:
    world = simulate("honest-groups", seed=11, accounts=700, days=DAYS)
    events = list(world.events())
    by_account: dict[str, list[Request]] = defaultdict(list)
    for event in events:
        by_account[event.account_id].append(event)
    return world, events, by_account


Groups = tuple[World, list[Request], dict[str, list[Request]]]


def test_in_an_outage_requests_fail_for_twenty_minutes_and_clients_try_again(
    groups: Groups,
) -> None:
    _, events, _ = groups
    failures = [event.ts for event in events if event.status == 503]
    assert len(failures) > 100
    start_s, end_s = min(failures), max(failures)
    assert end_s - start_s < 1200.0
    within = [event for event in events if start_s <= event.ts <= end_s]
    before = [event for event in events if start_s - 1200.0 <= event.ts < start_s]
    assert len(failures) > 0.8 * len(within)
    assert len(within) > 1.5 * len(before)
    assert all(event.pair_ids == [] for event in within if event.status == 503)


def test_one_evening_a_crowd_opens_one_pair(groups: Groups) -> None:
    world, events, _ = groups
    day = int(0.35 * DAYS)
    readers: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if (event.ts - START_S) // DAY_S == day and event.action == "view" and event.pair_ids:
            readers[event.pair_ids[0]].add(event.account_id)
    most, second = sorted((len(found) for found in readers.values()), reverse=True)[:2]
    assert most > 0.25 * world.accounts.honest_count
    assert most > 3 * second


def test_a_class_reads_the_same_pairs_in_the_same_hours(groups: Groups) -> None:
    world, _, by_account = groups
    day_s = START_S + int(0.2 * DAYS) * DAY_S
    (members, *_) = [
        [world.accounts.ids[slot] for slot in circle.slots]
        for circle in world.accounts.circles["student"]
    ]
    looks = [
        {
            pair
            for event in by_account[member]
            if day_s + 10 * 3600 <= event.ts < day_s + 12 * 3600 and len(event.pair_ids) == 1
            for pair in event.pair_ids
        }
        for member in members
    ]
    assert min(map(len, looks)) >= 40
    overlaps = [len(one & other) / min(len(one), len(other)) for one, other in pairwise(looks)]
    assert np.median(overlaps) > 0.4


def test_a_customer_downloads_all_it_owns(groups: Groups) -> None:
    world, _, by_account = groups
    archivists = [label.account_id for label in world.labels if label.kind == "archivist"]
    names = world.catalogue.name_all(np.arange(world.catalogue_size))
    complete = 0
    for account in archivists:
        slot = world.accounts.ids.index(account)
        own = {names[pair] for pair in np.flatnonzero(world.catalogue.owner_slot == slot)}
        downloads = {
            pair
            for event in by_account[account]
            if event.action == "download" and event.owner_id == account
            for pair in event.pair_ids
        }
        complete += len(downloads & own) > 0.9 * len(own) > 30
    assert complete > 0


def test_an_agency_works_on_the_pairs_of_its_colleagues_under_one_org(groups: Groups) -> None:
    world, _, by_account = groups
    owners: Counter[str] = Counter()
    for circle in world.accounts.circles["agency"]:
        members = {world.accounts.ids[slot] for slot in circle.slots}
        seen = [event for member in members for event in by_account[member]]
        assert len({event.links["org"] for event in seen}) == 1
        owners.update(
            "team" if event.owner_id in members - {event.account_id} else "other"
            for event in seen
            if event.action in ("view", "download") and event.owner_id is not None
        )
    assert owners["team"] > 0.2 * owners.total()


def test_a_household_shares_payment_device_and_address(groups: Groups) -> None:
    world, _, by_account = groups
    for circle in world.accounts.circles["household"]:
        seen = [event for slot in circle.slots for event in by_account[world.accounts.ids[slot]]]
        for link in ("payment", "device"):
            assert len({event.links[link] for event in seen}) <= 1


def test_a_campus_hides_many_accounts_behind_few_addresses(groups: Groups) -> None:
    world, _, by_account = groups
    circle = world.accounts.circles["campus"][0]
    addresses = Counter(
        event.ip for slot in circle.slots for event in by_account[world.accounts.ids[slot]]
    )
    assert len(circle.slots) >= 25
    assert sum(count for _, count in addresses.most_common(4)) > 0.5 * addresses.total()


def test_who_grows_does_twice_as_much_and_keeps_to_it() -> None:
    world = World(
        Mix(summary="growers alone", shares=dict.fromkeys(KINDS, 0.0) | {"grower": 1.0}),
        seed=2,
        accounts=300,
        days=9.0,
        attacks=(),
        intensity=1.0,
        start_s=START_S,
        catalogue_size=20_000,
        growth_per_day=0.01,
    )
    days = Counter(int((event.ts - START_S) // DAY_S) for event in world.events())
    # The same weekdays, a week apart: before anybody has grown, and after all have.
    assert (days[7] + days[8]) / (days[0] + days[1]) == pytest.approx(2.0, rel=0.25)


def test_the_calm_scenario_has_no_outage() -> None:
    world = simulate("calm", seed=11, accounts=200, days=3.0)
    assert all(event.status != 503 for event in world.events())


def test_over_a_holiday_most_are_away_and_all_come_back_at_once() -> None:
    world = simulate("holiday", seed=11, accounts=400, days=DAYS)
    machines = {name for name, kind in KINDS.items() if kind.period_s is not None}
    kind_of = {label.account_id: label.kind for label in world.labels}
    active: dict[int, set[str]] = defaultdict(set)
    requests: Counter[int] = Counter()
    for event in world.events():
        if kind_of[event.account_id] not in machines:
            day = int((event.ts - START_S) // DAY_S)
            active[day].add(event.account_id)
            requests[day] += 1
    ordinary, holiday, back = active[2], active[3], active[4]
    assert len(holiday) < 0.8 * len(ordinary)  # sittings of the eve reach into it
    assert len(back) > len(holiday)
    assert requests[4] / len(back) > requests[2] / len(ordinary)
