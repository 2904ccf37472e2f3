"""Manner: accounts that go about it alike meet behind one link, and stay there."""

from __future__ import annotations

import random

import msgspec
import pytest

from models.groups.manner import Manner, MannerWire, is_manner

START_S = 1_709_539_200.0


def manner(gaps_s: list[float], *, downloads: int = 0) -> Manner:
    """Return the manner of choices so far apart, the first some of them downloads."""
    made, at_s = Manner(), START_S
    made.note(at_s, download=downloads > 0)
    for n, gap_s in enumerate(gaps_s, start=1):
        at_s += gap_s
        made.note(at_s, download=n < downloads)
    return made


def person(rng: random.Random, choices: int) -> Manner:
    return manner([rng.lognormvariate(2.4, 1.1) for _ in range(choices - 1)])


def words(made: Manner, chosen: int = 20, **told: float) -> list[str]:
    up, steps = told.get("up", 10), told.get("steps", 20)
    turned, requests = int(told.get("turned", 0)), told.get("requests", chosen)
    link = made.link(chosen, turned, int(up), int(steps), requests, new=False)
    assert is_manner(link)
    return link.partition(":")[2].split("/")


@pytest.mark.parametrize(
    ("gaps_s", "pace", "rhythm"),
    [
        ([1.0] * 20, "fast", "even"),
        ([20.0] * 20, "people-pace", "even"),
        ([5.0, 60.0] * 10, "people-pace", "uneven"),
        ([300.0] * 20, "slow", "even"),
        ([20.0] * 3, "people-pace", "uneven"),  # too few to call it even
        ([20.0, 7_200.0] * 20, "people-pace", "even"),  # a night between sittings is no pace
    ],
)
def test_pace_and_rhythm_are_those_of_the_sittings(
    gaps_s: list[float], pace: str, rhythm: str
) -> None:
    assert words(manner(gaps_s))[2:4] == [pace, rhythm]


def test_a_page_that_fetches_what_it_shows_is_one_act() -> None:
    assert words(manner([0.1, 0.1, 0.1, 20.0] * 10))[2] == "people-pace"


@pytest.mark.parametrize(
    ("up", "steps", "order"),
    [(20, 20, "up"), (0, 20, "down"), (10, 20, "no-order"), (5, 5, "no-order")],
)
def test_who_walks_ids_one_way_is_told_from_who_does_not(up: int, steps: int, order: str) -> None:
    assert words(manner([20.0] * 20), up=up, steps=steps)[1] == order


@pytest.mark.parametrize(
    ("requests", "opens"), [(20, "opens-only"), (30, "opens-some"), (60, "opens-few")]
)
def test_who_only_opens_pairs_is_told_from_who_also_looks_around(requests: int, opens: str) -> None:
    assert words(manner([20.0] * 20), requests=requests)[0] == opens


@pytest.mark.parametrize(
    ("opened", "turned", "opens"),
    [(0, 10, "turns-pages"), (2, 30, "turns-pages"), (5, 30, "opens-few"), (20, 30, "opens-few")],
)
def test_who_turns_pages_and_hardly_opens_any_is_told_from_who_looks_closer(
    opened: int, turned: int, opens: str
) -> None:
    made = manner([20.0] * 20)
    assert words(made, opened, turned=turned, requests=opened + turned)[0] == opens


def test_who_mostly_downloads_is_told_from_who_mostly_looks() -> None:
    assert words(manner([20.0] * 19, downloads=15))[4] == "downloads"
    assert words(manner([20.0] * 19, downloads=5))[4] == "views"


def test_members_of_one_crowd_meet_from_the_first_record_on_and_stay_together() -> None:
    rng = random.Random(4)
    links = [words(person(rng, choices), choices) for choices in (8, 30, 120) for _ in range(100)]
    most = max(links.count(link) for link in links)
    assert most >= 0.95 * len(links)


def test_there_are_few_manners_so_that_those_alike_do_meet() -> None:
    rng = random.Random(5)
    seen = {
        Manner.from_wire(
            (rng.randrange(40), gaps, gaps * mean, gaps * (mean**2 + rng.random() * 4), START_S)
        ).link(
            40,
            rng.randrange(800),
            rng.randrange(40),
            39,
            rng.randrange(40, 120),
            new=rng.random() < 0.5,
        )
        for gaps, mean in ((rng.randrange(2, 60), rng.uniform(-1, 10)) for _ in range(20_000))
    }
    assert len(seen) <= 4 * 3 * 3 * 2 * 2 * 2


def test_it_goes_on_alike_once_taken_up_again() -> None:
    made = person(random.Random(6), 30)
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(made.to_wire()), type=MannerWire)
    again = Manner.from_wire(wire)
    made.note(made.last_s + 9, download=True)
    again.note(again.last_s + 9, download=True)
    assert made.to_wire() == again.to_wire()
