"""Groups that divide the catalogue, and nobody who merely sits beside them or works together."""

from __future__ import annotations

import itertools

import pytest

from models.decision import Decision
from tests.scenarios.alone import Told, alone

ATTACKS = ("two-on-one-payment", "eight-employees", "joining")


@pytest.fixture(scope="module")
def told() -> Told:
    return alone("coordinated-sweep", "calm", ATTACKS, seed=3, days=3, accounts=400)


def reviews(told: Told) -> list[Decision]:
    return [decision for decision in told.decisions if decision.action == "review"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_members_are_stopped_and_their_group_is_put_to_a_person(told: Told, attack: str) -> None:
    members = {label.account_id for label in told.labels if label.attack == attack}
    named = {name for review in reviews(told) for name in review.evidence.linked_accounts}
    stopped = [decisions for decisions in told.about(attack) if decisions]
    assert len(stopped) >= 0.9 * len(members)
    assert len(members & named) >= 0.5 * len(members)


def test_a_decision_about_a_member_names_the_others(told: Told) -> None:
    decisions = [one for decisions in told.about("eight-employees") for one in decisions]
    members = {label.account_id for label in told.labels if label.attack == "eight-employees"}
    for decision in decisions:
        assert decision.evidence.linked_accounts
        assert set(decision.evidence.linked_accounts) <= members - {decision.value}


def test_the_same_members_are_stopped_however_many_partitions_share_the_accounts(
    told: Told,
) -> None:
    spread = alone("coordinated-sweep", "calm", ATTACKS, seed=3, days=3, accounts=400, partitions=3)
    one, other = (
        {decision.value for decision in some.decisions if decision.scope == "account"}
        for some in (told, spread)
    )
    assert len(one ^ other) <= 0.1 * len(one | other)


def test_nothing_is_asked_for_against_a_group_but_a_person(told: Told) -> None:
    groups = [decision for decision in told.decisions if decision.scope == "group"]
    assert groups
    assert {(one.action, one.limit_per_minute) for one in groups} == {("review", None)}


def test_a_group_under_review_is_told_of_again_only_as_it_grows(told: Told) -> None:
    for link in {review.value for review in reviews(told)}:
        mine = [len(one.evidence.linked_accounts) for one in reviews(told) if one.value == link]
        assert all(after >= 3 * before for before, after in itertools.pairwise(mine))


def test_no_customer_is_drawn_in(told: Told) -> None:
    assert told.honest == []
    honest = {label.account_id for label in told.labels if label.honest}
    assert not any(honest & set(review.evidence.linked_accounts) for review in reviews(told))


def test_sixty_who_have_nothing_in_common_are_found_by_how_they_go_about_it() -> None:
    told = alone("coordinated-sweep", "calm", ("sixty-strangers",), seed=3, days=3, accounts=600)
    members = {label.account_id for label in told.labels if not label.honest}
    stopped = {decision.value for decision in told.decisions if decision.scope == "account"}
    assert len(stopped & members) >= 0.5 * len(members)
    assert told.honest == []
    named = {name for review in reviews(told) for name in review.evidence.linked_accounts}
    assert len(named & members) >= 0.5 * len(members)
    assert named <= members


def test_twenty_who_divide_the_pages_of_a_list_and_open_none_are_stopped() -> None:
    attack = "twenty-page-turners"
    told = alone(
        "coordinated-sweep", "calm", (attack,), seed=3, days=2, accounts=600, catalogue_size=60_000
    )
    members = {label.account_id for label in told.labels if not label.honest}
    stopped = {decision.value for decision in told.decisions if decision.scope == "account"}
    assert len(stopped & members) >= 0.5 * len(members)
    assert told.honest == []
    named = {name for review in reviews(told) for name in review.evidence.linked_accounts}
    assert named <= members


@pytest.mark.parametrize("mix", ["ordinary", "honest-groups", "odd-customers"])
def test_agencies_classes_households_companies_and_campuses_are_left_alone(mix: str) -> None:
    assert alone("coordinated-sweep", mix, seed=3, days=2, accounts=400).decisions == []
