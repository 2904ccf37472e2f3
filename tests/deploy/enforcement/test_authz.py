"""The authz service: who may pass, and what those are told who may not."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from deploy.enforcement.authz.service import BURST_S, Buckets, Gate, application
from models.decision import Decision, rfc3339
from streams.decision_store import DecisionStore
from streams.embedded import free_port
from streams.settings import Settings
from tests.decisions import ban, decision, message, state_topic_of, tomorrow
from tests.deploy.enforcement.programs import becomes, example, run_example


def store_of(*decisions: Decision) -> DecisionStore:
    """Return a store that has read these; it follows nothing."""
    store = DecisionStore(Settings().kafka, "pairwatch.decisions.state")
    for each in decisions:
        store.in_force.apply(*message(each), time.time())
    return store


def throttle(limit_per_minute: float, value: str = "acct_17", **changes: Any) -> Decision:
    return decision(1, value, limit_per_minute=limit_per_minute, expires_at=tomorrow(), **changes)


def banned(value: str = "acct_17", **changes: Any) -> Decision:
    return ban(1, value, **({"expires_at": tomorrow()} | changes))


# Token buckets.


@given(
    st.floats(0.001, 10_000),
    st.lists(st.floats(0, 120), min_size=1, max_size=200),
)
def test_no_more_passes_than_the_limit_and_one_burst(
    limit_per_minute: float, gaps_s: list[float]
) -> None:
    buckets, now_s, passed = Buckets(), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        passed += buckets.take("a", limit_per_minute, now_s) == 0
    burst = max(1.0, limit_per_minute * BURST_S / 60)
    assert passed <= burst + limit_per_minute * now_s / 60 + 1e-3


@given(st.floats(0.001, 10_000), st.integers(0, 50))
def test_who_comes_back_when_told_passes_and_who_comes_before_does_not(
    limit_per_minute: float, times: int
) -> None:
    buckets, now_s = Buckets(), 1_000.0
    while (wait_s := buckets.take("a", limit_per_minute, now_s)) == 0:
        pass
    for _ in range(times):
        assert buckets.take("a", limit_per_minute, now_s + wait_s * 0.9) > 0
        now_s += wait_s
        assert buckets.take("a", limit_per_minute, now_s) == 0
        wait_s = buckets.take("a", limit_per_minute, now_s)


def test_a_limit_below_one_lets_one_through_and_then_waits_for_minutes() -> None:
    buckets = Buckets()
    assert buckets.take("a", 0.5, 0.0) == 0
    assert buckets.take("a", 0.5, 60.0) == 60
    assert buckets.take("a", 0.5, 120.0) == 0


def test_accounts_don_t_share_a_bucket() -> None:
    buckets = Buckets()
    assert [buckets.take(name, 1.0, 0.0) == 0 for name in ("a", "b", "a")] == [True, True, False]


def test_buckets_are_bounded_and_the_idle_ones_go_first() -> None:
    buckets = Buckets(buckets_max=2)
    for name in ("idle", "busy", "busy", "new"):
        buckets.take(name, 1.0, 0.0)
    assert len(buckets) == 2
    assert buckets.take("busy", 1.0, 0.0) > 0
    assert buckets.take("idle", 1.0, 0.0) == 0


def test_replicas_share_a_limit() -> None:
    gates = [Gate(store_of(throttle(60.0)), replicas=2) for _ in range(2)]
    passed = 0
    for tenths in range(600):
        for gate in gates:
            passed += gate.check("acct_17", {}, time.time(), tenths / 10).outcome == "passed"
    assert passed <= 60 + 60 * BURST_S / 60
    assert passed >= 60


def test_members_share_the_limit_of_their_group() -> None:
    gate = Gate(store_of(throttle(1.0, "org:example.com", scope="group")))
    outcomes = [
        gate.check(name, {"org": "example.com"}, time.time(), 0.0).outcome for name in ("a", "b")
    ]
    assert outcomes == ["passed", "throttled"]


# Over HTTP.


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    store = store_of(
        banned("bad"),
        banned("zoë \U0001f4f7"),
        banned('quote" \\ $(id)', decision_id='d"\n\\é'),
        throttle(0.5, "slow"),
        banned("org:example.com", scope="group"),
        banned("over", expires_at=rfc3339(time.time() - 1)),
        banned("shadow", simulated=True),
    )
    app = application(store, "X-Account-Id", {"org": "X-Account-Org"}, replicas=1)
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Account-Id": ""},
        {"X-Account-Id": "good"},
        {"X-Account-Id": "BAD"},
        {"X-Account-Id": "over"},
        {"X-Account-Id": "shadow"},
        {"X-Account-Id": "good", "X-Account-Org": "example.org"},
        {"X-Account-Id": "x" * 5_000},
    ],
)
async def test_whom_no_decision_is_about_passes(
    client: TestClient[Any, Any], headers: dict[str, str]
) -> None:
    assert (await client.get("/check/any/path?x=1", headers=headers)).status == 200
    assert (await client.get("/auth-request", headers=headers)).status == 204


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_banned_account_is_refused_with_what_it_needs_to_appeal(
    client: TestClient[Any, Any], method: str
) -> None:
    answer = await client.request(method, "/check/v1/images", headers={"X-Account-Id": "bad"})
    assert answer.status == 403
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = await answer.json(content_type=None)
    assert problem["type"] == "urn:pairwatch:problem:banned"
    assert problem["status"] == 403
    assert problem["title"]
    assert problem["decision_id"] == "bad-1"


async def test_a_throttled_account_is_told_when_to_come_back(
    client: TestClient[Any, Any],
) -> None:
    headers = {"X-Account-Id": "slow"}
    assert (await client.get("/check", headers=headers)).status == 200
    answer = await client.get("/check", headers=headers)
    assert answer.status == 429
    assert answer.content_type == "application/problem+json"
    assert 100 < int(answer.headers["Retry-After"]) <= 120
    problem = await answer.json(content_type=None)
    assert problem["type"] == "urn:pairwatch:problem:throttled"
    assert (problem["status"], problem["decision_id"]) == (429, "slow-1")


async def test_a_member_of_a_banned_group_is_refused(client: TestClient[Any, Any]) -> None:
    headers = {"X-Account-Id": "good", "X-Account-Org": "example.com"}
    assert (await client.get("/check", headers=headers)).status == 403


async def test_nginx_gets_the_client_s_answer_in_headers(client: TestClient[Any, Any]) -> None:
    for account_id, status in (("bad", "403"), ("slow", "429")):
        await client.get("/auth-request", headers={"X-Account-Id": account_id})
        answer = await client.get("/auth-request", headers={"X-Account-Id": account_id})
        assert answer.status == 403
        assert answer.headers["X-Pairwatch-Status"] == status
        problem = json.loads(answer.headers["X-Pairwatch-Problem"])
        assert problem["decision_id"] == f"{account_id}-1"
        assert ("Retry-After" in answer.headers) == (status == "429")


@pytest.mark.parametrize(
    ("account_id", "decision_id"),
    [("zoë \U0001f4f7", "zoë \U0001f4f7-1"), ('quote" \\ $(id)', 'd"\n\\é')],
)
async def test_odd_ids_are_matched_exactly_and_break_no_header(
    client: TestClient[Any, Any], account_id: str, decision_id: str
) -> None:
    answer = await client.get("/auth-request", headers={"X-Account-Id": account_id})
    assert answer.status == 403
    assert answer.headers["X-Pairwatch-Problem"].isascii()
    assert json.loads(answer.headers["X-Pairwatch-Problem"])["decision_id"] == decision_id


async def test_it_is_ready_once_the_decisions_are_known(client: TestClient[Any, Any]) -> None:
    assert (await client.get("/live")).status == 200
    assert (await client.get("/ready")).status == 503


async def test_metrics_count_the_answers(client: TestClient[Any, Any]) -> None:
    for account_id in ("bad", "good", "slow", "slow"):
        await client.get("/check", headers={"X-Account-Id": account_id})
    told = await (await client.get("/metrics")).text()
    for line in ('{outcome="banned"} 1.0', '{outcome="passed"} 2.0', '{outcome="throttled"} 1.0'):
        assert f"pairwatch_enforcement_answers_total{line}" in told
    assert "pairwatch_enforcement_lag_seconds +Inf" in told


async def test_the_program_enforces_what_stands_in_kafka(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    port = free_port()
    options = ("--listen", f"127.0.0.1:{port}", "--link", "org=X-Account-Org")
    url, headers = f"http://127.0.0.1:{port}", {"X-Account-Id": "acct_17"}
    async with state_topic_of(settings_for_broker) as state, ClientSession() as session:
        await state.put(banned())
        with example("authz/service.py", settings_for_broker, tmp_path, *options, port=port):

            async def status(path: str) -> int:
                async with session.get(url + path, headers=headers) as answer:
                    return answer.status

            await becomes(lambda: status("/ready"), 200)
            assert await status("/check") == 403
            await state.lift(banned())
            await becomes(lambda: status("/check"), 200)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--listen", "127.0.0.1:x"), "pairwatch authz: --listen: can't listen on 127.0.0.1:x"),
        (("--link", "org"), "pairwatch authz: --link: expected TYPE=HEADER"),
        (("--config", "nowhere.toml"), "pairwatch authz: "),
    ],
)
def test_what_the_operator_must_mend_is_said_in_one_line(
    options: tuple[str, ...], error: str
) -> None:
    done = run_example("authz/service.py", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(error)
    assert len(done.stderr.splitlines()) == 1
