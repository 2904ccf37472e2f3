"""What operators say reaches a running worker within seconds, and outlives a crash."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from models.decision import Decision
from models.request import Request
from streams.settings import Control, Policy, Settings
from streams.settings_reader import Secret
from streams.topics import create
from tests.integration.workers import (
    START_S,
    Record,
    environment,
    produce,
    read,
    read_to_end,
    worker,
)

KEY = "00112233445566778899aabbccddeeff"
#: Where people look at what is popular, and when the copiers come.
PEOPLE, NIGHT_S = 600, START_S + 600 * 60.0


@pytest.fixture
def settings(settings_for_broker: Settings) -> Settings:
    return msgspec.structs.replace(
        settings_for_broker,
        policy=Policy(mode="enforce", false_throttles_per_1000_account_days=20),
        control=Control(key_id="ops", key=Secret(KEY)),
        scenarios={},
    )


def people() -> list[Request]:
    chance = random.Random(1)
    return [
        Request(
            START_S + n * 60.0,
            f"p{n}",
            f"person-{n % 60}",
            "view",
            [f"popular-{int(chance.paretovariate(0.7)) % 2_000}"],
        )
        for n in range(PEOPLE)
    ]


def copying(account: str, start_s: float, pairs: int, **told: object) -> list[Request]:
    return [
        Request(
            start_s + n,
            f"{account}-{start_s}-{n}",
            account,
            "view",
            [f"{account}-{start_s}-{n}"],
            **told,  # type: ignore[arg-type]
        )
        for n in range(pairs)
    ]


async def pairwatch(settings: Settings, *arguments: str) -> str:
    """Run a command as an operator does; return what it printed."""
    call = f"from streams.commands import main; main({list(arguments)!r})"
    process = await asyncio.create_subprocess_exec(
        "env",
        *environment(settings),
        sys.executable,
        "-c",
        call,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def decisions(settings: Settings, enough: Callable[[list[Decision]], bool]) -> list[Decision]:
    """Wait for decisions; return all that there are by then."""

    def decoded(records: list[Record]) -> list[Decision]:
        return [msgspec.json.decode(r.value or b"", type=Decision) for r in records]

    found = await read(
        settings, settings.topics.decisions, lambda records: enough(decoded(records))
    )
    return decoded(found)


async def test_what_is_lifted_and_allowed_stays_so_through_a_crash(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    with worker(settings, tmp_path) as running:
        await produce(settings, [*people(), *copying("copier", NIGHT_S, 400)])
        [first, *_] = await decisions(settings, lambda found: bool(found))
        assert (first.value, first.action, first.simulated) == ("copier", "throttle", False)
        said = await pairwatch(settings, "release", "account", "copier", "--why", "spoke to them")
        assert "taken up: it holds for all accounts" in said
        lifted = (
            await decisions(
                settings, lambda found: found[-1:] != [] and found[-1].action == "release"
            )
        )[-1]
        assert lifted.value == "copier"
        state = await read(
            settings,
            settings.topics.decisions_state,
            lambda found: bool(found) and found[-1].value is None,
        )
        *_, before, last = (r.value for r in state if r.key == b"account:copier")
        assert last is None
        # With its revision, beyond which nothing that is said once more counts.
        assert msgspec.json.decode(before or b"", type=Decision) == lifted
        await pairwatch(settings, "allow", "account", "copier", "--for", "7d", "--why", "an export")
        await running.answers(
            "/metrics", lambda _, text: "pairwatch_notices_applied_total 4.0" in text
        )
        running.kill()
    with worker(settings, tmp_path) as running:
        # Another, who isn't allowed, is how the test knows that both have been judged.
        more = copying("copier", NIGHT_S + 3_600, 400), copying("other", NIGHT_S + 3_600, 400)
        await produce(settings, sorted([*more[0], *more[1]], key=lambda one: one.ts))
        told = await decisions(settings, lambda found: any(d.value == "other" for d in found))
        await running.handled(800)
        told = await decisions(settings, lambda found: len(found) >= len(told))
        assert [d.action for d in told if d.value == "copier"][-1] == "release"
        await running.stop()
    audit = await pairwatch(settings, "audit")
    assert "spoke to them" in audit
    assert "an export" in audit


async def test_what_nobody_has_signed_steers_nothing(settings: Settings, tmp_path: Path) -> None:
    await create(settings)
    stranger = msgspec.structs.replace(
        settings, control=Control(key_id="ops", key=Secret("x" * 32))
    )
    with worker(settings, tmp_path) as running:
        await running.ready()
        said = await pairwatch(stranger, "mode", "shadow", "--why", "mischief")
        assert "not taken up within" in said
        letters = await read(settings, settings.topics.dead_letters, lambda found: bool(found))
        assert b"bad-signature" in (letters[0].value or b"")
        samples = await running.metrics()
        assert samples["pairwatch_control_messages_total mode refused"] == 1
        assert samples["pairwatch_notices_applied_total"] == 0
        await running.stop()


async def test_what_ran_out_and_what_was_said_while_no_worker_ran_is_known_to_the_next(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    topics = settings.topics
    with worker(settings, tmp_path) as running:
        await produce(settings, [*people(), *copying("copier", NIGHT_S, 400)])
        await decisions(settings, lambda found: bool(found))
        await pairwatch(settings, "mode", "enforce", "--why", "all of it")
        await running.answers(
            "/metrics", lambda _, text: 'kind="mode",outcome="accepted"} 1.0' in text
        )
        await running.handled(PEOPLE + 400)
        await running.stop()
    state = await read_to_end(settings, topics.decisions_state)
    assert [r.value is None for r in state if r.key == b"account:copier"][-1] is False
    # Whoever can read the topic says what was said once more.
    [spoken] = await read(settings, topics.control, bool)
    said = spoken.value or b""
    other = said.replace(b"enforce", b"shadow")
    await produce(settings, [said, other], topic=topics.control)
    days_later = [
        msgspec.structs.replace(one, ts=one.ts + 9 * 86_400, request_id=f"{one.request_id}b")
        for one in people()
    ]
    await produce(settings, days_later)
    with worker(settings, tmp_path) as running:
        await read(
            settings,
            topics.decisions_state,
            lambda found: [r.value for r in found if r.key == b"account:copier"][-1] is None,
        )
        await running.answers(
            "/metrics", lambda _, text: 'kind="mode",outcome="refused"} 1.0' in text
        )
        samples = await running.metrics()
        assert samples["pairwatch_control_messages_total mode repeated"] == 1
        assert samples["pairwatch_control_messages_total mode accepted"] == 0
        await running.stop()


async def test_a_group_is_reviewed_and_once_a_person_approves_its_new_members_are_covered(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    links = {"payment": "fp_9"}
    group = [one for n in range(6) for one in copying(f"c{n}", NIGHT_S, 150, links=links)]
    with worker(settings, tmp_path) as running:
        await produce(settings, [*people(), *sorted(group, key=lambda one: one.ts)])
        about = "payment:fp_9"
        told = await decisions(settings, lambda found: any(d.value == about for d in found))
        review = next(decision for decision in told if decision.value == about)
        assert (review.scope, review.action) == ("group", "review")
        assert len(review.evidence.linked_accounts) >= 2
        await pairwatch(
            settings,
            "approve",
            review.decision_id,
            "--action",
            "ban",
            "--for",
            "1d",
            "--why",
            "all of one team",
        )
        await decisions(
            settings, lambda found: any(d.scope == "group" and d.action == "release" for d in found)
        )
        await produce(settings, copying("newcomer", NIGHT_S + 600, 1, links=links))
        told = await decisions(settings, lambda found: any(d.value == "newcomer" for d in found))
        covered = next(decision for decision in told if decision.value == "newcomer")
        assert (covered.action, covered.simulated) == ("ban", False)
        await running.stop()
