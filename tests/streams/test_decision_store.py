"""What applies to an account now, from the state topic alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Decision, rfc3339
from streams import consume
from streams.decision_store import DecisionStore
from streams.embedded import embedded_broker
from streams.in_force import InForce
from streams.kafka import client_arguments
from streams.settings import Settings
from tests.brokers.choice import EmbeddedBroker, settings_for
from tests.brokers.kafka import KafkaCluster
from tests.decisions import (
    NOW_S,
    Message,
    StateTopic,
    ban,
    decision,
    message,
    state_topic_of,
    tombstone,
    tomorrow,
    until,
)


def known(*messages: Message, now_s: float = NOW_S) -> InForce:
    in_force = InForce()
    for key, value in messages:
        in_force.apply(key, value, now_s)
    return in_force


# What is enforced.


def test_a_throttle_and_a_ban_apply_to_their_account_alone() -> None:
    in_force = known(message(decision()), message(ban(value="acct_18")))
    assert in_force.applies("acct_17", NOW_S) == decision()
    assert in_force.applies("acct_18", NOW_S) == ban(value="acct_18")
    assert in_force.applies("ACCT_17", NOW_S) is None


@pytest.mark.parametrize(
    "last",
    [
        message(decision(2, action="release", limit_per_minute=None)),
        message(decision(2, action="review", limit_per_minute=None)),
        message(decision(2, simulated=True)),
        message(decision(2, expires_at=rfc3339(NOW_S))),
        tombstone(decision()),
    ],
    ids=["release", "review", "simulated", "run out", "tombstone"],
)
def test_what_takes_the_place_of_a_decision_lifts_it(last: Message) -> None:
    in_force = known(message(decision()), last)
    assert in_force.applies("acct_17", NOW_S) is None
    assert in_force.all(NOW_S) == []


def test_a_decision_without_an_end_applies_until_it_is_lifted() -> None:
    endless = ban(expires_at=None)
    in_force = known(message(endless))
    assert in_force.applies("acct_17", NOW_S + 1e9) == endless
    in_force.sweep(NOW_S + 1e9)
    assert in_force.applies("acct_17", NOW_S + 1e9) == endless


def test_a_lower_revision_is_ignored() -> None:
    in_force = known(message(ban(3)), message(decision(2)))
    assert in_force.applies("acct_17", NOW_S) == ban(3)


def test_a_lifted_decision_that_is_repeated_is_lifted_again() -> None:
    once = [message(decision(2)), tombstone(decision(2)), message(ban(3)), tombstone(ban(3))]
    assert known(*once, *once).applies("acct_17", NOW_S) is None
    assert known(*once, *once, message(ban(4))).applies("acct_17", NOW_S) == ban(4)


def test_a_decision_that_is_now_meant_replaces_the_same_one_from_shadow_mode() -> None:
    in_force = known(message(decision(2, simulated=True)), message(decision(2)))
    assert in_force.applies("acct_17", NOW_S) == decision(2)


def test_a_group_s_decision_applies_to_those_who_carry_its_link() -> None:
    of_group = ban(scope="group", value="org:example.com")
    in_force = known(message(of_group))
    assert in_force.applies("acct_1", NOW_S, {"org": "example.com"}) == of_group
    assert in_force.applies("acct_1", NOW_S, {"org": "example.org"}) is None
    assert in_force.applies("acct_1", NOW_S, {"team": "example.com"}) is None
    assert in_force.applies("acct_1", NOW_S) is None


def test_of_several_the_strictest_applies() -> None:
    own = decision(limit_per_minute=2.0)
    of_team = decision(scope="group", value="team:a", limit_per_minute=0.5)
    of_org = ban(scope="group", value="org:b")
    in_force = known(message(own), message(of_team), message(of_org))
    assert in_force.applies("acct_17", NOW_S) == own
    assert in_force.applies("acct_17", NOW_S, {"team": "a"}) == of_team
    assert in_force.applies("acct_17", NOW_S, {"org": "b", "team": "a"}) == of_org


def test_an_account_can_t_be_mistaken_for_a_group() -> None:
    in_force = known(message(ban(value="group:org:b")), message(ban(value="org:b")))
    assert in_force.applies("x", NOW_S, {"org": "b"}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"", None),
        (b"\xff", None),
        (b"account:acct_17", b""),
        (b"account:acct_17", b"{"),
        (b"account:acct_17", b"[" * 100_000),
        (b"account:acct_17", b" " * 200_000),
        (b"account:acct_17", msgspec.json.encode(decision(2, "acct_18"))),
        (b"account:acct_17", msgspec.json.encode(decision(2, expires_at="soon"))),
        (b"account:acct_17", msgspec.json.encode(decision(2, limit_per_minute=None))),
        (b"account:acct_17", msgspec.json.encode(decision(2, limit_per_minute=0.0))),
        (b"account:acct_17", msgspec.json.encode(decision(2, decision_id="d" * 129))),
    ],
)
def test_a_strange_message_is_counted_and_leaves_nothing_to_enforce_under_its_key(
    key: bytes | None, value: bytes | None
) -> None:
    in_force = known(message(decision()), message(ban(value="acct_19")))
    in_force.apply(key, value, NOW_S)
    assert in_force.strange == 1
    assert (in_force.applies("acct_17", NOW_S) is None) == (key == b"account:acct_17")
    assert in_force.applies("acct_18", NOW_S) is None
    assert in_force.applies("acct_19", NOW_S) is not None


def test_it_says_what_changes_something() -> None:
    in_force = InForce()
    told = [
        in_force.apply(*each, NOW_S)
        for each in [
            message(decision(1)),
            message(decision(1)),
            message(ban(2)),
            message(decision(1)),
            tombstone(ban(2)),
            tombstone(ban(2)),
            message(ban(3, simulated=True)),
            message(ban(4, expires_at=rfc3339(NOW_S - 1))),
        ]
    ]
    assert told == [True, False, True, False, True, False, False, False]


def test_the_next_end_is_that_of_the_decision_that_runs_out_first() -> None:
    in_force = known(
        message(decision(expires_at=rfc3339(NOW_S + 60))),
        message(ban(value="a", expires_at=rfc3339(NOW_S + 30))),
        message(ban(value="b", expires_at=None)),
        message(ban(value="c", expires_at=rfc3339(NOW_S + 10), simulated=True)),
    )
    assert in_force.next_end_s(NOW_S) == NOW_S + 30
    assert in_force.next_end_s(NOW_S + 30) == NOW_S + 60
    assert in_force.next_end_s(NOW_S + 60) == float("inf")


# What is held.


def test_what_has_run_out_is_forgotten() -> None:
    in_force = known(message(decision()), message(ban(value="a", simulated=True)))
    assert len(in_force) == 2
    in_force.sweep(NOW_S + 3_600)
    assert len(in_force) == 0


def test_a_full_store_forgets_what_matters_least() -> None:
    in_force = InForce(decisions_max=3)
    for each in (
        ban(value="endless", expires_at=None),
        ban(value="soon", expires_at=rfc3339(NOW_S + 10)),
        ban(value="shadow", simulated=True),
        ban(value="late"),
    ):
        in_force.apply(*message(each), NOW_S)
    assert {each.value for each in in_force.all(NOW_S)} == {"endless", "soon", "late"}
    assert in_force.evicted == 0
    in_force.apply(*message(ban(value="later", expires_at=rfc3339(NOW_S + 1e6))), NOW_S)
    assert {each.value for each in in_force.all(NOW_S)} == {"endless", "late", "later"}
    assert in_force.evicted == 1


# Properties.

_values = st.sampled_from(["a", "b", "org:c"])


@st.composite
def _decisions(draw: st.DrawFn, revision: int | None = None) -> Decision:
    value = draw(_values)
    action = draw(st.sampled_from(["throttle", "ban", "release", "review"]))
    ends_s = draw(st.none() | st.integers(-120, 7_200))
    return decision(
        draw(st.integers(1, 5)) if revision is None else revision,
        value,
        scope="group" if ":" in value else "account",
        action=action,
        limit_per_minute=draw(st.floats(0.001, 1e6)) if action == "throttle" else None,
        simulated=draw(st.booleans()),
        expires_at=None if ends_s is None else rfc3339(NOW_S + ends_s),
    )


@st.composite
def _scripts(draw: st.DrawFn) -> list[Message]:
    """What a worker writes if nothing goes wrong: revisions that grow, and tombstones."""
    script: list[Message] = []
    for revision in range(1, draw(st.integers(1, 12)) + 1):
        made = draw(_decisions(revision=revision))
        script.append(message(made))
        if made.action == "release" or draw(st.booleans()):
            script.append(tombstone(made))
    return script


@st.composite
def _logs(draw: st.DrawFn) -> tuple[list[Message], list[Message]]:
    """A script, and how it stands in Kafka after restarts that each repeat a part of it."""
    script = draw(_scripts())
    log: list[Message] = []
    done = 0
    for _ in range(draw(st.integers(0, 4))):
        reached = draw(st.integers(done, len(script)))
        log += script[done:reached]
        done = draw(st.integers(0, reached))
    return script, log + script[done:]


def answers(in_force: InForce, now_s: float) -> list[Decision | None]:
    return [
        in_force.applies("a", now_s),
        in_force.applies("b", now_s),
        in_force.applies("b", now_s, {"org": "c"}),
    ]


@given(st.lists(_decisions().flatmap(lambda d: st.sampled_from([message(d), tombstone(d)]))))
def test_nothing_that_has_run_out_or_is_simulated_is_ever_an_answer(
    messages: list[Message],
) -> None:
    in_force = known(*messages)
    for later_s in (0.0, 60.0, 3_600.0):
        now_s = NOW_S + later_s
        for answer in [*answers(in_force, now_s), *in_force.all(now_s)]:
            if answer is not None:
                assert answer.action in ("throttle", "ban")
                assert not answer.simulated
                assert answer.expires_at is None or answer.expires_at > rfc3339(now_s)


@given(st.data())
def test_the_order_and_repeats_of_decisions_change_nothing(data: st.DataObject) -> None:
    made = data.draw(st.lists(_decisions(), unique_by=lambda each: (each.key, each.revision)))
    messages = [message(each) for each in made]
    again = data.draw(st.lists(st.sampled_from(messages))) if messages else []
    shuffled = data.draw(st.permutations(messages + again))
    assert answers(known(*shuffled), NOW_S) == answers(known(*messages), NOW_S)


@given(_logs(), st.data())
def test_the_log_and_the_compacted_log_give_the_same_answers(
    logs: tuple[list[Message], list[Message]], data: st.DataObject
) -> None:
    script, log = logs
    last = {key: index for index, (key, _) in enumerate(log)}
    cleaned_up_to = data.draw(st.integers(0, len(log)))
    tombstones_stay = data.draw(st.booleans())
    compacted = [
        (key, value)
        for index, (key, value) in enumerate(log)
        if index >= cleaned_up_to or (last[key] == index and (tombstones_stay or value is not None))
    ]
    expected = answers(known(*script), NOW_S)
    assert answers(known(*log), NOW_S) == expected
    assert answers(known(*compacted), NOW_S) == expected


@given(st.lists(_decisions(), max_size=30), st.integers(1, 5))
def test_the_store_never_outgrows_its_bound(made: list[Decision], decisions_max: int) -> None:
    in_force = InForce(decisions_max)
    for number, each in enumerate(made):
        distinct = msgspec.structs.replace(each, scope="account", value=f"acct_{number}")
        in_force.apply(*message(distinct), NOW_S)
        assert len(in_force) <= decisions_max


@given(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=50))
def test_any_bytes_at_all_are_taken(key: bytes | None, value: bytes | None) -> None:
    in_force = InForce()
    assert in_force.apply(key, value, NOW_S) is False
    assert in_force.all(NOW_S) == []


# From Kafka. These decisions end long after the test.


def lasting(revision: int = 1, value: str = "acct_17") -> Decision:
    return ban(revision, value, expires_at=tomorrow())


@pytest.fixture
async def state(settings_for_broker: Settings) -> AsyncIterator[StateTopic]:
    async with state_topic_of(settings_for_broker) as state:
        yield state


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[DecisionStore]:
    store = DecisionStore(settings.kafka, settings.topics.decisions_state)
    task = asyncio.create_task(store.follow())
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_store_that_starts_from_nothing_knows_the_present_state(
    settings_for_broker: Settings, state: StateTopic
) -> None:
    await state.put(lasting(1, "lifted"))
    await state.lift(lasting(1, "lifted"))
    for number in range(50):
        await state.put(lasting(1, f"acct_{number}"))
    for _ in range(2):  # a restart
        async with following(settings_for_broker) as store:
            assert not store.ready
            assert store.lag_s == float("inf")
            await until(lambda: store.ready)
            assert len(store.in_force.all(time.time())) == 50
            assert store.applies("acct_7", time.time()) is not None
            assert store.applies("lifted", time.time()) is None


async def test_an_empty_topic_is_known_too(
    settings_for_broker: Settings, state: StateTopic
) -> None:
    async with following(settings_for_broker) as store:
        await until(lambda: store.ready)
        assert store.in_force.all(time.time()) == []


async def test_what_comes_later_is_told_and_the_state_stays_fresh(
    settings_for_broker: Settings, state: StateTopic
) -> None:
    async with following(settings_for_broker) as store:
        await until(lambda: store.ready)
        await store.changed(0)
        await state.put(lasting())
        await store.changed(60)
        assert store.applies("acct_17", time.time()) is not None
        await state.lift(lasting())
        await store.changed(60)
        assert store.applies("acct_17", time.time()) is None
        at_s = time.time()
        await until(lambda: time.time() - store.lag_s > at_s)


async def test_a_synchronous_server_asks_a_store_that_follows_in_a_thread(
    settings_for_broker: Settings, state: StateTopic
) -> None:
    await state.put(lasting())
    store = DecisionStore(settings_for_broker.kafka, state.name)

    def serve() -> Decision | None:
        with store.following_in_thread():
            assert store.wait_until_ready(60)
            return store.applies("acct_17", time.time())

    answer = await asyncio.to_thread(serve)
    assert answer is not None
    assert answer.value == "acct_17"


async def test_a_store_that_comes_before_its_topic_waits_for_it(
    settings_for_broker: Settings,
) -> None:
    async with (
        following(settings_for_broker) as store,
        state_topic_of(settings_for_broker) as state,
    ):
        await state.put(lasting())
        await until(lambda: store.applies("acct_17", time.time()) is not None)


async def test_a_store_answers_on_while_kafka_is_away_and_tells_how_old_its_state_is(
    tmp_path: Path,
) -> None:
    with embedded_broker() as bootstrap:  # of this test's own, as it is going to end
        settings = settings_for(EmbeddedBroker(bootstrap), tmp_path)
        async with state_topic_of(settings) as state:
            await state.put(lasting())
        stack = AsyncExitStack()
        store = await stack.enter_async_context(following(settings))
        await until(lambda: store.ready)
    async with stack:
        ended_s = time.time()
        await until(lambda: store.lag_s > 1)
        assert time.time() - store.lag_s <= ended_s
        assert store.ready
        assert store.applies("acct_17", time.time()) is not None


async def test_a_store_goes_on_when_kafka_comes_back(kafka: KafkaCluster, tmp_path: Path) -> None:
    settings = settings_for(kafka, tmp_path)
    async with state_topic_of(settings) as state, following(settings) as store:
        await state.put(lasting(1, "before"))
        await until(lambda: store.applies("before", time.time()) is not None)
        await asyncio.to_thread(kafka.stop)
        kafka.start()
        await state.put(lasting(1, "after"))
        await until(lambda: store.applies("after", time.time()) is not None)
        assert store.applies("before", time.time()) is not None


async def test_partitions_that_are_added_later_are_read(
    kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Clients look for new partitions every five minutes.
    quick = {"metadata_max_age_ms": 500}
    monkeypatch.setattr(consume, "client_arguments", lambda k: client_arguments(k) | quick)
    settings = settings_for(kafka, tmp_path)
    async with state_topic_of(settings), following(settings) as store:
        await until(lambda: store.ready)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_partitions({settings.topics.decisions_state: NewPartitions(8)})
        await admin.close()
        async with state_topic_of(settings) as state:  # its producer knows of all partitions
            for number in range(30):
                await state.put(lasting(1, f"acct_{number}"))
        await until(lambda: len(store.in_force.all(time.time())) == 30)
