"""A simulated world is reproducible, in order, true to the contract and to its labels."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections import Counter, defaultdict
from importlib import resources
from itertools import islice

import jsonschema
import msgspec
import numpy as np
import pytest

from models.request import Request
from streams.errors import OperatorError
from streams.simulate import MIXES, START_S, World, simulate
from streams.simulate.attacks.table import ATTACKS
from streams.simulate.people import KINDS

DAY_S = 86_400.0


def small(
    name: str = "ordinary", *, days: float = 2.0, accounts: int = 200, **more: object
) -> World:
    parameters = {"days": days, "accounts": accounts, "catalogue_size": 20_000, **more}
    return simulate(name, seed=7, **parameters)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def week() -> tuple[World, list[Request]]:
    world = small("saturday-night", days=7.0, accounts=600)
    return world, list(world.events())


def test_the_same_seed_gives_the_same_bytes_in_another_process_with_another_hash_seed() -> None:
    script = (
        "import hashlib, msgspec; from streams.simulate import simulate;"
        "w = simulate('everything', seed=7, days=0.3, accounts=100, intensity=0.05);"
        "lines = msgspec.json.Encoder().encode_lines([*w.events(), *w.labels]);"
        "print(hashlib.sha256(lines).hexdigest())"
    )
    here = simulate("everything", seed=7, days=0.3, accounts=100, intensity=0.05)
    lines = msgspec.json.Encoder().encode_lines([*here.events(), *here.labels])
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == hashlib.sha256(lines).hexdigest()


def test_another_seed_gives_other_traffic() -> None:
    one = simulate("ordinary", seed=1, days=0.5, accounts=100)
    other = simulate("ordinary", seed=2, days=0.5, accounts=100)
    assert {event.request_id for event in one.events()}.isdisjoint(
        event.request_id for event in other.events()
    )


def test_each_iterator_is_fresh_and_does_not_disturb_another() -> None:
    world = small(days=0.5)
    first, second = world.events(), world.events()
    together = [(one, other) for one, other in zip(first, second, strict=True)]
    assert all(one == other for one, other in together)


def test_events_are_in_time_order_within_the_run_and_have_ids_of_their_own(
    week: tuple[World, list[Request]],
) -> None:
    _, events = week
    times = [event.ts for event in events]
    assert times == sorted(times)
    assert times[0] >= START_S
    assert times[-1] < START_S + 7 * DAY_S
    assert len({event.request_id for event in events}) == len(events)


def test_every_event_is_a_request_of_the_contract(week: tuple[World, list[Request]]) -> None:
    _, events = week
    text = resources.files("streams.schemas").joinpath("request.schema.json").read_text("utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    for event in events[::500]:
        validator.validate(json.loads(msgspec.json.encode(event)))
    decoder = msgspec.json.Decoder(Request)
    assert all(decoder.decode(msgspec.json.encode(event)) == event for event in events)


def test_an_event_says_nothing_of_the_truth() -> None:
    texts: set[str] = set()
    for event in small("everything", days=0.6, intensity=0.05).events():
        texts.update((event.account_id, event.user_agent or "", event.ja4 or ""))
        texts.update(event.links.values())
    assert len(texts) > 500
    words = {*KINDS, *ATTACKS}
    assert [text for text in texts if any(word in text for word in words)] == []


def test_a_shared_link_looks_like_anybodys_own(week: tuple[World, list[Request]]) -> None:
    _, events = week
    forms = {
        (link, re.sub(r"[0-9a-f]{8}", "#", value))
        for event in events
        for link, value in event.links.items()
    }
    assert forms == {("payment", "fp_#"), ("device", "d_#"), ("org", "org-#.example")}


def test_labels_count_the_foreign_pairs_that_the_events_carry(
    week: tuple[World, list[Request]],
) -> None:
    world, events = week
    names = world.catalogue.name_all(np.arange(world.catalogue_size))
    slots = world.catalogue.owner_slot.tolist()
    owner = {name: world.accounts.ids[slot] for name, slot in zip(names, slots, strict=True)}
    taken: dict[str, set[str]] = defaultdict(set)
    for event in events:
        taken[event.account_id].update(
            pair for pair in event.pair_ids if owner.get(pair, event.account_id) != event.account_id
        )
    assert {label.account_id: label.pairs_total for label in world.labels} == {
        account: len(pairs) for account, pairs in taken.items()
    }


def test_an_owner_in_an_event_owns_all_its_pairs(week: tuple[World, list[Request]]) -> None:
    world, events = week
    names = world.catalogue.name_all(np.arange(world.catalogue_size))
    slots = world.catalogue.owner_slot.tolist()
    owner = {name: world.accounts.ids[slot] for name, slot in zip(names, slots, strict=True)}
    owned = [event for event in events if event.owner_id is not None and event.pair_ids]
    assert len(owned) > 10_000
    assert all(
        owner.get(pair, event.owner_id) == event.owner_id
        for event in owned
        for pair in event.pair_ids
    )


def test_labels_are_the_same_before_and_after_a_pass() -> None:
    world, other = small("human-pace", days=1.0), small("human-pace", days=1.0)
    assert sum(1 for _ in other.events()) > 0
    assert world.labels == other.labels


def test_attacks_leave_honest_traffic_as_it_was() -> None:
    alone = {label.account_id for label in small(days=1.0).labels}
    # The flood is meant to be felt by everybody: it has a test of its own.
    attacks = [name for name in ATTACKS if name != "generation-flood"]
    attacked = small(days=1.0, attacks=attacks, intensity=0.2)
    honest = [event for event in attacked.events() if event.account_id in alone]
    assert honest == list(small(days=1.0).events())
    assert len(attacked.labels) > len(alone)


def test_attacks_leave_each_other_as_they_are() -> None:
    both = small(days=1.0, attacks=["slow-drip", "human-pace"])
    one = small(days=1.0, attacks=["slow-drip"])
    attackers = {label.account_id for label in one.labels if not label.honest}
    seen = [event for event in both.events() if event.account_id in attackers]
    assert seen == [event for event in one.events() if event.account_id in attackers]


def test_a_few_honest_accounts_do_very_much_and_most_do_little(
    week: tuple[World, list[Request]],
) -> None:
    world, _ = week
    totals = sorted(label.pairs_total for label in world.labels if label.kind == "casual")
    assert totals[-1] > 5 * totals[len(totals) // 2] > 0
    everybody = [label.pairs_total for label in world.labels if label.honest]
    assert max(everybody) < 0.4 * world.catalogue_size


def test_people_sleep_by_their_own_clock_and_offices_rest_at_weekends(
    week: tuple[World, list[Request]],
) -> None:
    world, events = week
    zone_s = dict(zip(world.accounts.ids, world.accounts.zone_s.tolist(), strict=True))
    kind = {label.account_id: label.kind for label in world.labels}
    hours: Counter[int] = Counter()
    days: dict[str, Counter[int]] = {"casual": Counter(), "agency": Counter()}
    for event in events:
        local_s = event.ts + zone_s[event.account_id]
        if kind[event.account_id] == "casual":
            hours[int(local_s // 3600 % 24)] += 1
        if kind[event.account_id] in days:
            days[kind[event.account_id]][int((local_s // DAY_S + 3) % 7)] += 1
    assert sum(hours[hour] for hour in (2, 3, 4, 5)) < 0.35 * sum(
        hours[hour] for hour in (19, 20, 21, 22)
    )
    office = days["agency"]
    assert (office[5] + office[6]) / 2 < 0.5 * sum(office[day] for day in range(5)) / 5
    home = days["casual"]
    assert (home[5] + home[6]) / 2 > 0.9 * sum(home[day] for day in range(5)) / 5


def test_machines_keep_their_gaps_and_run_round_the_clock(
    week: tuple[World, list[Request]],
) -> None:
    world, events = week
    kind = {label.account_id: label.kind for label in world.labels}
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if kind[event.account_id] == "integrator" and event.ts < START_S + DAY_S:
            times[event.account_id].append(event.ts)
    assert times
    for seen in times.values():
        gaps = np.diff(seen)
        assert gaps.std() / gaps.mean() < 0.05
        assert {int((ts - START_S) // 3600) for ts in seen} == set(range(24))


def test_a_page_carries_dozens_of_pairs_without_repeats(
    week: tuple[World, list[Request]],
) -> None:
    _, events = week
    pages = [event.pair_ids for event in events if event.action == "list" and event.status == 200]
    sizes = [len(page) for page in pages]
    assert 20 <= np.median(sizes) <= 60
    assert max(sizes) <= 60
    assert all(len(set(page)) == len(page) for page in pages)


def test_honest_readers_meet_on_what_is_popular(week: tuple[World, list[Request]]) -> None:
    world, events = week
    honest = {label.account_id for label in world.labels if label.honest}
    readers: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.account_id in honest:
            for pair in event.pair_ids:
                readers[pair].add(event.account_id)
    counts = np.sort([len(found) for found in readers.values()])[::-1]
    top = counts[: len(counts) // 100].sum() / counts.sum()
    assert top > 0.08
    assert np.median(counts) < 0.02 * len(honest)


def test_newcomers_come_during_the_run_and_returners_come_back(
    week: tuple[World, list[Request]],
) -> None:
    world, events = week
    kind = {label.account_id: label.kind for label in world.labels}
    first_day: dict[str, int] = {}
    for event in events:
        first_day.setdefault(event.account_id, int((event.ts - START_S) // DAY_S))
    for name in ("newcomer", "returner"):
        days = [day for account, day in first_day.items() if kind[account] == name]
        assert min(days) >= 1
        assert len(set(days)) >= 3


def test_a_running_iterator_holds_a_day_and_not_the_run() -> None:
    def peak(days: float) -> int:
        world = small("calm", days=days, accounts=100)
        tracemalloc.start()
        for _ in world.events():
            pass
        size: int = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(5.0) < 1.6 * peak(1.0)


def test_a_run_begins_without_being_made_whole() -> None:
    world = small(days=400.0)
    assert len(list(islice(world.events(), 1_000))) == 1_000


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"name": "nonsense"}, "nonsense"),
        ({"attacks": ["nonsense"]}, "nonsense"),
        ({"accounts": 3}, "accounts"),
        ({"days": 0.0}, "days"),
        ({"intensity": 0.0}, "intensity"),
        ({"catalogue_size": 10}, "catalogue_size"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(parameters: dict[str, object], named: str) -> None:
    with pytest.raises(OperatorError, match=named):
        small(**parameters)  # type: ignore[arg-type]


def test_every_attack_is_a_scenario_of_its_own() -> None:
    assert set(ATTACKS) < set(MIXES)
    assert all(MIXES[name].attacks == (name,) for name in ATTACKS)
