"""What would have kept a decision from falling, as far as it tells itself."""

from __future__ import annotations

from collections.abc import Iterator

from models.decision import Decision, Reason
from models.groups.writing import TOGETHER
from models.scenarios import SCENARIOS
from models.scenarios.coordinated_sweep import NAME as BY_GROUPS
from models.verdict import APPROVALS, BAN_LEVEL_OF, LEVEL_OF, REFUSED
from streams.timeline import NOUNS
from streams.wording import figure, time_of

#: What kind of evidence a signal is, by what it is called in reasons.
_KINDS = {signal.name: signal.kind for scenario in SCENARIOS for signal in scenario.signals}


_UNDIVIDED = (
    "Opening what people open, or what another account behind the link has opened, speaks against "
    "a divided catalogue."
)


def otherwise(asked: Decision, held: Decision | None, *, is_measured: bool) -> Iterator[str]:
    """Yield sentences; none of what lifts.

    Parameters
    ----------
    asked
        The decision.
    held
        The one that was in force when it took its place.
    is_measured
        Whether the account's own signals speak.
    """
    if asked.action == "review":
        yield from _below_a_review(asked)
    if asked.action in ("release", "review") or asked.scope != "account":
        return
    if any(reason.unit == APPROVALS for reason in asked.reasons):
        yield (
            "A person's word: the account is covered for its link, whatever it did itself. "
            "`pairwatch reject` answers a review with no, `pairwatch allow` spares one account."
        )
        return
    if held is not None:
        itself = f" on {time_of(held.expires_at)}" if held.expires_at else ""
        yield (
            f"Had it slowed down to what is usual while {NOUNS[held.action]} held, that would "
            f"have run out by itself{itself}."
            + (" It was only simulated: the account could not know." if held.simulated else "")
        )
    if asked.action == "ban":
        yield from _below_a_ban(asked)
    elif held is None:
        yield from _below_a_throttle(asked, is_measured=is_measured)
    if asked.scenario == BY_GROUPS:
        yield _UNDIVIDED
    else:
        yield (
            "The account's own pairs, and returning to the same ones, do not count as reading the "
            "catalogue."
        )
    yield (
        "For a purpose that is known beforehand: `pairwatch allow` with an expiry, or `pairwatch "
        "calendar` for an event that concerns many."
    )
    yield (
        f"As a rule for everybody: a smaller budget of false alarms, or scenario {asked.scenario} "
        "in shadow; `pairwatch compare` shows whom that would spare."
    )


def _below_a_review(asked: Decision) -> Iterator[str]:
    level = next((each for each in asked.reasons if each.signal == TOGETHER), None)
    if level is not None:
        yield _below(level, "", "where a person is asked")
        yield _UNDIVIDED


def _below_a_throttle(asked: Decision, *, is_measured: bool) -> Iterator[str]:
    scenario = next((each for each in SCENARIOS if each.name == asked.scenario), None)
    signals = {signal.name for signal in scenario.signals} if scenario else set()
    own = next((each for each in asked.reasons if each.signal in signals), None)
    level = next((each for each in asked.reasons if each.signal.startswith(LEVEL_OF)), None)
    if level is not None:
        yield _below(level, LEVEL_OF, "where a throttle begins for this account")
    elif own is not None:  # of a version that didn't tell the level
        yield (
            f"Staying near the usual {figure(own.expected)} {own.signal}: the level that was "
            f"passed lies between that and the {figure(own.observed)} observed, and as each "
            "request is judged when it comes, close to the latter."
        )
    elif is_measured:
        yield f"Staying near what is usual in: {asked.reasons[0].signal}."


def _below_a_ban(asked: Decision) -> Iterator[str]:
    """Yield what would have left it at a throttle: a ban wants a level and a second kind."""
    level = next((each for each in asked.reasons if each.signal.startswith(BAN_LEVEL_OF)), None)
    if level is None:  # of a version that didn't tell it
        return
    is_group = asked.scenario == BY_GROUPS
    whose = "where members of a group may be banned" if is_group else "where a ban begins for it"
    yield _below(level, BAN_LEVEL_OF, whose)
    kind = _KINDS.get(level.signal.removeprefix(BAN_LEVEL_OF))
    for other in asked.reasons:
        second = _KINDS.get(other.signal.removeprefix(LEVEL_OF))
        if other.signal.startswith(LEVEL_OF) and second != kind:
            yield _below(other, LEVEL_OF, f"which was the second kind of evidence, {second}")
        elif other.signal == REFUSED:
            yield (
                "Heeding what was in force, which was the second kind of evidence: it sent "
                f"{figure(other.observed)} requests while they were refused."
            )


def _below(level: Reason, of: str, which: str) -> str:
    return (
        f"Staying below {figure(level.expected)} {level.unit} ({level.signal.removeprefix(of)}), "
        f"{which}: it got to {figure(level.observed)}."
    )
