"""Each attack is what its name says, seen from outside: in its events and labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from models.request import Request
from streams.simulate import START_S, Label, World, simulate
from streams.simulate.attacks.paces import PULSE_LIMIT
from streams.simulate.attacks.table import ATTACKS

DAY_S = 86_400.0
DAYS = 6.5
SATURDAY_NIGHT_S = START_S + 5 * DAY_S + 20 * 3600.0
CATALOGUE = 40_000


class Seen:
    """What one run shows of each attack: the requests from its start to its end, by account."""

    def __init__(self, world: World) -> None:
        self.world = world
        every: dict[str, list[Request]] = defaultdict(list)
        for event in world.events():
            every[event.account_id].append(event)
        self.labels: dict[str, list[Label]] = defaultdict(list)
        self.requests: dict[str, list[list[Request]]] = defaultdict(list)
        self.before: dict[str, list[Request]] = defaultdict(list)
        for label in world.labels:
            if label.attack is None or label.attack_start_s is None:
                continue
            start_s, end_s = label.attack_start_s, label.attack_end_s or 0.0
            mine = every[label.account_id]
            self.labels[label.attack].append(label)
            self.requests[label.attack].append([e for e in mine if start_s <= e.ts <= end_s])
            self.before[label.attack] += [e for e in mine if e.ts < start_s]
        self.honest = [label for label in world.labels if label.honest]
        # Of the honest only what is asked for: half a million kept events slow every test.
        events = [event for label in self.honest for event in every[label.account_id]]
        self.honest_networks = {event.asn for event in events}
        self.honest_clients = {event.ja4 for event in events}
        self.honest_orgs = {event.account_id: event.links.get("org") for event in events}


@pytest.fixture(scope="module")
def seen() -> Seen:
    # The flood makes errors everywhere: it has a run of its own.
    attacks = [name for name in ATTACKS if name != "generation-flood"]
    return Seen(
        simulate("calm", seed=3, accounts=100, days=DAYS, attacks=attacks, catalogue_size=CATALOGUE)
    )


def rate_per_s(requests: list[Request]) -> float:
    return (len(requests) - 1) / (requests[-1].ts - requests[0].ts)


def taken(requests: list[Request]) -> set[str]:
    return {pair for request in requests for pair in request.pair_ids}


def per_day(requests: list[Request]) -> list[int]:
    """Count the requests of each whole day of the run in which there were any."""
    days = Counter(int((request.ts - START_S) // DAY_S) for request in requests)
    whole = sorted(days)[1:-1]
    return [days[day] for day in whole]


def test_each_attack_has_its_members_and_they_alone_are_not_honest(seen: Seen) -> None:
    for name, attack in ATTACKS.items():
        if name != "generation-flood":
            assert len(seen.labels[name]) == attack.members, name
    assert all(label.attack is None and label.intensity is None for label in seen.honest)


@pytest.mark.parametrize(
    ("attack", "per_s", "lasts_h"),
    [
        ("steady-scraper", 1.0, 10.0),
        ("slow-drip", 1 / 20, 0.7 * DAYS * 24),
        ("hijacked", 0.7, 8.0),
        ("rotating-address", 0.5, 12.0),
    ],
)
def test_a_steady_attack_keeps_its_rate_as_long_as_stated(
    seen: Seen, attack: str, per_s: float, lasts_h: float
) -> None:
    (requests,) = seen.requests[attack]
    assert rate_per_s(requests) == pytest.approx(per_s, rel=0.1)
    assert (requests[-1].ts - requests[0].ts) / 3600 == pytest.approx(lasts_h, rel=0.1)


def test_the_drip_never_sleeps(seen: Seen) -> None:
    (requests,) = seen.requests["slow-drip"]
    assert max(after.ts - before.ts for before, after in pairwise(requests)) < 120.0


@pytest.mark.parametrize("attack", ["smash-and-grab", "eight-employees"])
def test_the_copy_of_saturday_night_takes_nearly_everything_many_times_a_second(
    seen: Seen, attack: str
) -> None:
    members = seen.requests[attack]
    together = sorted(request.ts for requests in members for request in requests)
    assert SATURDAY_NIGHT_S <= together[0] < SATURDAY_NIGHT_S + 60
    assert len(together) / (together[-1] - together[0]) > 8
    assert {request.action for requests in members for request in requests} == {"list", "download"}
    shares = [taken(requests) for requests in members]
    assert len(set.union(*shares)) > 0.9 * CATALOGUE
    assert sum(map(len, shares)) < 1.02 * len(set.union(*shares))
    orgs = {request.links["org"] for requests in members for request in requests}
    assert len(orgs) == 1


@pytest.mark.parametrize(
    "attack", ["human-pace", "thirty-shards", "sixty-alike", "sixty-strangers"]
)
def test_a_human_copier_takes_seventy_to_a_hundred_and_fifty_a_day_and_sleeps(
    seen: Seen, attack: str
) -> None:
    zone_s = dict(zip(seen.world.accounts.ids, seen.world.accounts.zone_s.tolist(), strict=True))
    days: list[int] = []
    hours: Counter[int] = Counter()
    for label, requests in zip(seen.labels[attack], seen.requests[attack], strict=True):
        # Beside the copying the honest life of some goes on: count what stays of it apart.
        foreign = [e for e in requests if len(e.pair_ids) == 1 and e.owner_id != label.account_id]
        days += per_day(foreign)
        hours.update(int((e.ts + zone_s[label.account_id]) // 3600 % 24) for e in foreign)
    assert 70 <= np.median(days) <= 160
    night = sum(hours[hour] for hour in (3, 4, 5))
    assert night < 0.5 * sum(hours[hour] for hour in (19, 20, 21))


def test_the_ramp_begins_small_and_grows_by_a_fifth_a_day(seen: Seen) -> None:
    (requests,) = seen.requests["slow-ramp"]
    days = Counter(int((request.ts - START_S) // DAY_S) for request in requests)
    first, last = days[0] + days[1], days[4] + days[5]
    assert last / first == pytest.approx(1.2**4, rel=0.25)
    assert days[0] < 150


def test_the_hijacked_account_was_good_and_goes_on_from_elsewhere(seen: Seen) -> None:
    before = seen.before["hijacked"]
    assert len(before) > 50
    assert sum(request.owner_id == request.account_id for request in before) > 0.5 * len(before)
    (requests,) = seen.requests["hijacked"]
    where = Counter((request.ip, request.user_agent, request.ja4) for request in requests)
    (stranger, _), *_ = where.most_common(1)
    assert stranger[0] not in {request.ip for request in before}


def test_the_revisitor_sees_most_pairs_again(seen: Seen) -> None:
    (requests,) = seen.requests["revisiting"]
    assert len(taken(requests)) / len(requests) == pytest.approx(0.4, abs=0.05)


def test_the_rotating_address_is_new_for_every_request(seen: Seen) -> None:
    (requests,) = seen.requests["rotating-address"]
    assert len({request.ip for request in requests}) > 0.99 * len(requests)
    assert len({request.asn for request in requests}) > 20


def test_the_id_walk_climbs(seen: Seen) -> None:
    (requests,) = seen.requests["id-walk"]
    numbers = [int(pair[2:]) for request in requests for pair in request.pair_ids]
    assert len(numbers) > 10_000
    assert all(0 < after - before < 50 for before, after in pairwise(numbers))


def test_the_harvest_comes_in_pages_of_search_results(seen: Seen) -> None:
    (requests,) = seen.requests["search-harvest"]
    assert {request.action for request in requests} == {"search"}
    assert len(taken(requests)) > 15 * len(requests)


def test_pulses_stay_under_the_limit_of_every_minute(seen: Seen) -> None:
    (requests,) = seen.requests["pulsing"]
    times = np.array([request.ts for request in requests])
    in_a_minute = np.arange(1, len(times) + 1) - np.searchsorted(times, times - 60.0)
    assert 40 < in_a_minute.max() <= PULSE_LIMIT
    assert np.diff(times).max() > 60.0


@pytest.mark.parametrize("intensity", [0.4, 2.5, 100.0])
def test_pulses_stay_under_the_limit_whatever_the_intensity(intensity: float) -> None:
    rng = np.random.default_rng(5)
    times = ATTACKS["pulsing"].pace(rng, 0.0, START_S, START_S + DAY_S, intensity)
    in_a_minute = np.arange(1, len(times) + 1) - np.searchsorted(times, times - 60.0)
    assert 40 < in_a_minute.max() <= PULSE_LIMIT


def test_copiers_read_the_long_tail_without_repeats_and_leave_their_own(seen: Seen) -> None:
    for name in ("steady-scraper", "slow-drip", "rotating-address", "two-on-one-payment"):
        for requests in seen.requests[name]:
            pairs = [pair for request in requests for pair in request.pair_ids]
            assert len(set(pairs)) == len(pairs)
            assert all(request.owner_id != request.account_id for request in requests)
            numbers = np.array([int(pair[2:]) for pair in pairs])
            # Uniform over the catalogue: each quarter of the numbers is read alike.
            quarters = np.histogram(numbers, bins=4, range=(0, CATALOGUE))[0] / len(numbers)
            assert quarters.min() > 0.2


@pytest.mark.parametrize(
    "attack",
    [
        "two-on-one-payment",
        "thirty-shards",
        "sixty-alike",
        "sixty-strangers",
        "joining",
        "several-links",
    ],
)
def test_members_divide_the_catalogue(seen: Seen, attack: str) -> None:
    # What the honest life of some adds is popular and comes in pages: leave the pages out.
    shares = [
        taken([e for e in requests if len(e.pair_ids) == 1]) for requests in seen.requests[attack]
    ]
    repeated = sum(map(len, shares)) - len(set.union(*shares))
    assert repeated < 0.25 * sum(map(len, shares))
    if not ATTACKS[attack].keeps_habits:
        assert repeated == 0


@pytest.mark.parametrize(
    ("attack", "gap_s"), [("twenty-page-turners", 900), ("turning-strangers", 9)]
)
def test_turners_divide_the_pages_of_a_list_and_open_none(
    seen: Seen, attack: str, gap_s: float
) -> None:
    begins = [label.attack_start_s or 0.0 for label in seen.labels[attack]]
    members = [
        [request for request in requests if request.ts >= begin_s]
        for begin_s, requests in zip(begins, seen.requests[attack], strict=True)
    ]
    assert {one.action for requests in members for one in requests} == {"list"}
    shares = [taken(requests) for requests in members]
    assert sum(map(len, shares)) == len(set.union(*shares))
    gaps_s = np.concatenate([np.diff([one.ts for one in requests]) for requests in members])
    assert np.median(gaps_s) > gap_s


def links_of(seen: Seen, attack: str) -> list[dict[str, str]]:
    return [requests[0].links for requests in seen.requests[attack]]


def test_thirty_have_only_the_payment_in_common(seen: Seen) -> None:
    links = links_of(seen, "thirty-shards")
    assert len({link["payment"] for link in links}) == 1
    assert len({link["device"] for link in links}) == 30
    assert all("org" not in link for link in links)


def test_sixty_have_only_client_and_network_in_common_as_honest_accounts_have(seen: Seen) -> None:
    links = links_of(seen, "sixty-alike")
    assert len({link["payment"] for link in links}) == 60
    members = [requests[0] for requests in seen.requests["sixty-alike"]]
    ((asn, ja4),) = {(member.asn, member.ja4) for member in members}
    assert len({member.ip for member in members}) > 50
    assert asn in seen.honest_networks
    assert ja4 in seen.honest_clients


def test_strangers_have_nothing_in_common_that_is_not_common_to_many(seen: Seen) -> None:
    links = links_of(seen, "sixty-strangers")
    for kind in ("payment", "device"):
        assert len({link[kind] for link in links}) == 60
    members = [requests[0] for requests in seen.requests["sixty-strangers"]]
    assert len({member.ip for member in members}) > 50
    assert len({(member.asn, member.ja4) for member in members}) > 20


def test_members_join_one_by_one(seen: Seen) -> None:
    starts = sorted(label.attack_start_s or 0.0 for label in seen.labels["joining"])
    assert starts[-1] - starts[0] > 3 * DAY_S
    assert len({link["org"] for link in links_of(seen, "joining")}) == 1


def test_no_link_covers_the_group_that_is_behind_several(seen: Seen) -> None:
    links = links_of(seen, "several-links")
    assert len({link["payment"] for link in links}) == 3
    assert len({link["org"] for link in links}) == 2
    assert len({(link["payment"], link["org"]) for link in links}) == 6


def test_three_scrape_in_a_company_of_honest_people(seen: Seen) -> None:
    group = seen.labels["company"][0].group
    colleagues = [label for label in seen.honest if label.group == group]
    assert len(colleagues) > 150
    org = links_of(seen, "company")[0]["org"]
    assert {seen.honest_orgs[label.account_id] for label in colleagues} == {org}


def test_attackers_had_an_honest_life_before_unless_they_are_new(seen: Seen) -> None:
    for name, attack in ATTACKS.items():
        if attack.background is None:
            assert seen.before[name] == [], name
    assert {event.account_id for event in seen.before["smash-and-grab"]} == {
        label.account_id for label in seen.labels["smash-and-grab"]
    }


def test_a_flood_of_generation_degrades_the_service_for_everybody() -> None:
    def health(attacks: list[str]) -> tuple[float, float]:
        world = simulate("calm", seed=3, accounts=300, days=1.0, attacks=attacks)
        flooding = {label.account_id for label in world.labels if not label.honest}
        start_s = START_S + 0.5 * DAY_S
        honest = [
            event
            for event in world.events()
            if event.account_id not in flooding and start_s <= event.ts < start_s + 5400
        ]
        views = [event.duration_ms or 0.0 for event in honest if event.action == "view"]
        return sum(event.status >= 500 for event in honest) / len(honest), float(np.median(views))

    calm_errors, calm_ms = health([])
    errors, view_ms = health(["generation-flood"])
    assert calm_errors < 0.02
    assert errors > 0.1
    assert view_ms > 3 * calm_ms


@pytest.mark.parametrize("attack", ["slow-drip", "human-pace"])
def test_intensity_multiplies_what_is_taken(attack: str) -> None:
    def total(intensity: float) -> int:
        more = {"attacks": [attack], "intensity": intensity, "catalogue_size": 20_000}
        world = simulate("calm", seed=3, accounts=100, days=2.0, **more)  # type: ignore[arg-type]
        return sum(label.pairs_total for label in world.labels if not label.honest)

    assert total(2.5) > 1.6 * total(1.0) > 1.6 * 1.1 * total(0.4)


def test_attacks_fit_into_a_short_run() -> None:
    world = simulate("everything", seed=3, accounts=100, days=0.02, intensity=0.05)
    assert all(START_S <= event.ts < world.end_s for event in world.events())
    starts = [label.attack_start_s for label in world.labels]
    assert any(start_s is not None for start_s in starts)
