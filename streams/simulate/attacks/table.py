"""All attacks by name. To add one, add an entry to `ALONE` or `TOGETHER`."""

from __future__ import annotations

from streams.simulate.attacks.copier import (
    Attack,
    generating,
    one_by_one,
    page_then_each,
    revisiting,
    searching,
    turning,
)
from streams.simulate.attacks.paces import human, pulsing, steady

HOUR_S = 3600.0

ALONE: dict[str, Attack] = {
    "smash-and-grab": Attack(
        summary="two accounts of one company, many requests a second on Saturday night",
        pace=steady(8.0, sigma=0.6),
        taking=page_then_each,
        members=2,
        background="colleague",
        begins=None,
        lasts_s=6 * HOUR_S,
        address="new",
        links=("org", "payment"),
    ),
    "steady-scraper": Attack(
        summary="one request a second for ten hours",
        pace=steady(1.0),
        taking=one_by_one,
        lasts_s=10 * HOUR_S,
    ),
    "slow-drip": Attack(
        summary="one request every twenty seconds, round the clock",
        pace=steady(1 / 20, sigma=0.3),
        taking=one_by_one,
    ),
    "human-pace": Attack(
        summary="70–150 pairs a day in the rhythm of a person",
        pace=human(70, 150),
        taking=one_by_one,
        begins=0.15,
        keeps_habits=True,
    ),
    "slow-ramp": Attack(
        summary="begins like anybody and takes 20 % more each day",
        pace=human(90, 110, growth_per_day=0.2),
        taking=one_by_one,
        begins=0.0,
        background=None,
    ),
    "hijacked": Attack(
        summary="a good customer's account, swept from a new address and client",
        pace=steady(0.7, sigma=0.5),
        taking=one_by_one,
        background="creator",
        keeps_habits=True,
        begins=0.6,
        lasts_s=8 * HOUR_S,
        address="new",
        new_client=True,
    ),
    "revisiting": Attack(
        summary="looks at most pairs again to seem less novel",
        pace=steady(0.25, sigma=0.8),
        taking=revisiting(0.6),
        lasts_s=48 * HOUR_S,
    ),
    "rotating-address": Attack(
        summary="a new address for every request",
        pace=steady(0.5, sigma=0.5),
        taking=one_by_one,
        lasts_s=12 * HOUR_S,
        address="each",
    ),
    "id-walk": Attack(
        summary="walks the pairs by their numbers",
        pace=steady(0.4, sigma=0.5),
        taking=one_by_one,
        lasts_s=24 * HOUR_S,
        sequential=True,
    ),
    "search-harvest": Attack(
        summary="harvests through pages of search results",
        pace=steady(1 / 25, sigma=0.7),
        taking=searching,
        background="researcher",
        lasts_s=14 * HOUR_S,
    ),
    "pulsing": Attack(
        summary="bursts and silences that stay under every one-minute limit",
        pace=pulsing(),
        taking=one_by_one,
        lasts_s=24 * HOUR_S,
    ),
    "generation-flood": Attack(
        summary="generates so fast that the service degrades for all",
        pace=steady(15.0, sigma=0.8),
        taking=generating,
        background="integrator",
        begins=0.5,
        lasts_s=1.5 * HOUR_S,
        load=(0.25, 5.0),
    ),
}

TOGETHER: dict[str, Attack] = {
    "two-on-one-payment": Attack(
        summary="two accounts on one payment divide the catalogue",
        pace=steady(1 / 8, sigma=0.8),
        taking=one_by_one,
        members=2,
        links=("payment",),
    ),
    "thirty-shards": Attack(
        summary="thirty at 70–150 pairs a day, disjoint, only the payment in common",
        pace=human(70, 150),
        taking=one_by_one,
        members=30,
        keeps_habits=True,
        begins=0.15,
        links=("payment",),
    ),
    "eight-employees": Attack(
        summary="eight employees of one company on Saturday night",
        pace=steady(1.5, sigma=0.6),
        taking=page_then_each,
        members=8,
        background="colleague",
        begins=None,
        lasts_s=5 * HOUR_S,
        links=("org",),
    ),
    "sixty-alike": Attack(
        summary="sixty at 70–150 pairs a day with only client and network in common",
        pace=human(70, 150),
        taking=one_by_one,
        members=60,
        begins=0.15,
        background=None,
        address="same",
        same_client=True,
    ),
    "joining": Attack(
        summary="twelve members of one company join one by one",
        pace=human(250, 450),
        taking=one_by_one,
        members=12,
        begins=0.1,
        links=("org",),
        stagger=0.8,
    ),
    "several-links": Attack(
        summary="twenty-four behind three payments and two companies",
        pace=human(150, 300),
        taking=one_by_one,
        members=24,
        begins=0.15,
        mixed_links=(("payment", 3), ("org", 2)),
    ),
    "company": Attack(
        summary="a company of two hundred in which three scrape",
        pace=steady(1 / 6, sigma=0.8),
        taking=one_by_one,
        members=3,
        background="colleague",
        begins=0.4,
        links=("org",),
        bystanders=197,
    ),
    "sixty-strangers": Attack(
        summary="sixty at 70–150 pairs a day with nothing in common at all",
        pace=human(70, 150),
        taking=one_by_one,
        members=60,
        begins=0.15,
        background=None,
    ),
    "twenty-page-turners": Attack(
        summary="twenty on one payment divide the pages of a list, two an hour each, and open none",
        pace=steady(1 / 1800, sigma=0.8),
        taking=turning,
        members=20,
        begins=0.15,
        by_page=True,
        links=("payment",),
    ),
    "turning-strangers": Attack(
        summary="twelve with nothing in common divide the pages of a list, 15 to 30 a day each",
        pace=human(15, 30),
        taking=turning,
        members=12,
        begins=0.15,
        background=None,
        by_page=True,
    ),
}

ATTACKS = ALONE | TOGETHER
#: Dormant accounts that each attack may wake: a range of its own, so that none disturbs another.
RANGE = 250
