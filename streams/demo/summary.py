"""What the demo came to: decisions held against the simulator's labels."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from models.decision import Decision, rfc3339
from streams.demo.feed import DAY_S, Feed
from streams.demo.play import Audience, Played, play
from streams.demo.stage import Stage
from streams.render import moment
from streams.simulate import Label, World

_DIGITS = 6
#: What bothers a customer, the gravest first.
_TOUCHES = ("ban", "throttle")


class Stop(msgspec.Struct, frozen=True):
    """The first throttle, or the first ban, of somebody who copies.

    Parameters
    ----------
    at
        Event time, RFC 3339.
    after_s
        Seconds after the first request of the attack.
    scenario
        The behaviour that was seen.
    pairs
        Distinct pairs of others that it had been sent by then, since the attack began.
    catalogue_share, taken_share
        Those pairs as a share (0–1) of the catalogue, and of what it took up to the end.
    """

    at: str
    after_s: float
    scenario: str
    pairs: int
    catalogue_share: float
    taken_share: float


class Attacker(msgspec.Struct, frozen=True):
    """One who copies. `pairs_unhindered`: what it took by the end, as nobody enforced."""

    account_id: str
    kind: str
    attack_start: str
    throttled: Stop | None
    banned: Stop | None
    pairs_unhindered: int


class Others(msgspec.Struct, frozen=True):
    """All who are honest.

    Parameters
    ----------
    accounts, touched, touched_per_1000
        How many there are, and how many of them were throttled or banned.
    account_days, touched_days
        Days (UTC) on which one of them made a request, and those of them with a throttle or ban:
        what the false-alarm budgets count in.
    by_kind
        Of how many the gravest decision was a throttle, a ban.
    """

    accounts: int
    touched: int
    touched_per_1000: float
    account_days: int
    touched_days: int
    by_kind: dict[str, dict[str, int]]


class Summary(msgspec.Struct, frozen=True):
    """The demo in figures.

    Parameters
    ----------
    seed, accounts_asked
        The same two give the same week again.
    events, accounts
        Of the simulated week, all of them judged.
    seconds, events_per_s
        What the worker needed, from the first event judged to the last.
    catalogue_size
        Pairs.
    decisions
        How many, of any kind.
    attackers, others
        Who was stopped, and who was touched without cause.
    pairs_at_ban, pairs_unhindered
        Distinct pairs that the attackers had together when each was banned (an attacker that
        never was counts in full), and by the end.
    """

    seed: int
    accounts_asked: int
    events: int
    accounts: int
    seconds: float
    events_per_s: float
    catalogue_size: int
    decisions: int
    attackers: tuple[Attacker, ...]
    pairs_at_ban: int
    pairs_unhindered: int
    others: Others


async def play_and_summarise(
    stage: Stage, world: World, accounts_asked: int, audience: Audience
) -> Summary:
    """Play the world through the stage's worker, and hold the decisions against the truth.

    Raises
    ------
    OperatorError
        As `play` does.
    """
    labels = await asyncio.to_thread(lambda: world.labels)  # while the worker joins its group
    played = await play(stage, world, labels, audience)
    return summarise(world, accounts_asked, labels, played)


def summarise(world: World, accounts_asked: int, labels: list[Label], played: Played) -> Summary:
    """Hold what was decided against what is true."""
    by_account: dict[str, list[Decision]] = {}
    for decision in played.decisions:
        if decision.scope == "account":
            by_account.setdefault(decision.value, []).append(decision)
    taken, size = played.feed.taken, world.catalogue_size
    attackers = tuple(
        _attacker(label, by_account.get(label.account_id, ()), taken[label.account_id], size)
        for label in labels
        if not label.honest
    )
    until_s = {a.account_id: _time_s(a.banned) for a in attackers}
    return Summary(
        seed=world.seed,
        accounts_asked=accounts_asked,
        events=played.feed.sent,
        accounts=len(labels),
        seconds=round(played.seconds, 1),
        events_per_s=round(played.feed.sent / played.seconds),
        catalogue_size=size,
        decisions=len(played.decisions),
        attackers=attackers,
        pairs_at_ban=len(
            {p for a, ps in taken.items() for p, at in ps.items() if at <= until_s[a]}
        ),
        pairs_unhindered=len({pair for pairs in taken.values() for pair in pairs}),
        others=_others([label for label in labels if label.honest], by_account, played.feed),
    )


def _attacker(
    label: Label, decisions: Iterable[Decision], taken: Mapping[str, float], catalogue_size: int
) -> Attacker:
    start_s = label.attack_start_s or 0.0

    def first(action: str) -> Stop | None:
        for decision in decisions:
            issued_s = moment(decision.issued_at).timestamp()
            if decision.action == action and issued_s >= start_s:
                pairs = sum(at_s <= issued_s for at_s in taken.values())
                return Stop(
                    at=decision.issued_at,
                    after_s=round(issued_s - start_s, 3),
                    scenario=decision.scenario,
                    pairs=pairs,
                    catalogue_share=round(pairs / catalogue_size, _DIGITS),
                    taken_share=round(pairs / max(len(taken), 1), _DIGITS),
                )
        return None

    return Attacker(
        account_id=label.account_id,
        kind=label.kind,
        attack_start=rfc3339(start_s),
        throttled=first("throttle"),
        banned=first("ban"),
        pairs_unhindered=len(taken),
    )


def _others(
    honest: Sequence[Label], by_account: Mapping[str, Sequence[Decision]], feed: Feed
) -> Others:
    by_kind: dict[str, Counter[str]] = {}
    names = {label.account_id for label in honest}
    touched_days = {
        (name, int(moment(decision.issued_at).timestamp() // DAY_S))
        for name in names & by_account.keys()
        for decision in by_account[name]
        if decision.action in _TOUCHES
    }
    for label in honest:
        actions = {decision.action for decision in by_account.get(label.account_id, ())}
        gravest = next((action for action in _TOUCHES if action in actions), None)
        if gravest is not None:
            by_kind.setdefault(label.kind, Counter())[gravest] += 1
    touched = sum(sum(counts.values()) for counts in by_kind.values())
    return Others(
        accounts=len(honest),
        touched=touched,
        touched_per_1000=round(1000 * touched / len(honest), 2),
        account_days=sum(name in names for name, _ in feed.account_days),
        touched_days=len(touched_days),
        by_kind={kind: dict(counts) for kind, counts in sorted(by_kind.items())},
    )


def _time_s(stop: Stop | None) -> float:
    return float("inf") if stop is None else moment(stop.at).timestamp()
