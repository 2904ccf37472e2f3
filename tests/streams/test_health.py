"""Readiness means work done, and the HTTP answers say so."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from streams.errors import OperatorError
from streams.health import DeadLetterRate, Readiness, start
from streams.metrics import Metrics

P0, P1 = ("gateway.requests", 0), ("gateway.requests", 1)


def ready_worker(now_s: float = 0.0, dead_letters_per_minute: int = 3) -> Readiness:
    readiness = Readiness(dead_letters_per_minute=dead_letters_per_minute, progress_within_s=60.0)
    readiness.assigned([P0, P1])
    readiness.recovered(now_s)
    return readiness


# Readiness.


def test_a_worker_that_has_not_joined_is_not_ready() -> None:
    readiness = Readiness(dead_letters_per_minute=3)
    assert readiness.reasons(0.0) == ("no partitions are assigned yet",)


def test_a_worker_is_not_ready_before_its_state_is_recovered() -> None:
    readiness = Readiness(dead_letters_per_minute=3)
    readiness.assigned([P1, P0])
    assert readiness.reasons(0.0) == (
        "state is being recovered for gateway.requests:0, gateway.requests:1",
    )
    readiness.recovered(5.0)
    assert readiness.reasons(5.0) == ()


def test_recovery_that_is_reported_again_is_no_progress() -> None:
    readiness = ready_worker()
    readiness.recovered(59.0)
    assert readiness.reasons(59.0) == ()
    assert readiness.reasons(61.0)


def test_a_worker_in_reserve_without_partitions_is_ready() -> None:
    readiness = Readiness(dead_letters_per_minute=3)
    readiness.assigned([])
    readiness.recovered(0.0)
    assert readiness.reasons(1_000_000.0) == ()


def test_a_rebalance_ends_readiness_until_the_new_state_is_recovered() -> None:
    readiness = ready_worker()
    readiness.rebalancing()
    assert readiness.reasons(1.0)
    readiness.assigned([P1])
    assert readiness.reasons(1.0)
    readiness.recovered(2.0)
    assert readiness.reasons(2.0) == ()


def test_one_partition_that_stops_committing_while_events_wait_ends_readiness() -> None:
    readiness = ready_worker()
    readiness.lag_measured(P1, 500, 30.0)
    readiness.committed(P0, 60.0)
    assert readiness.reasons(60.0) == ()
    assert readiness.reasons(60.1) == (
        "events wait and nothing was committed for over 60 s in gateway.requests:1",
    )
    readiness.committed(P1, 61.0)
    assert readiness.reasons(61.0) == ()


def test_a_partition_with_nothing_to_do_stays_ready() -> None:
    readiness = ready_worker()
    for now_s in range(0, 1_000, 10):
        readiness.lag_measured(P0, 0, now_s)
        readiness.lag_measured(P1, 0, now_s)
        assert readiness.reasons(now_s) == ()


def test_a_lag_that_is_no_longer_measured_does_not_keep_a_worker_ready() -> None:
    readiness = ready_worker()
    readiness.lag_measured(P0, 0, 10.0)
    readiness.lag_measured(P1, 0, 10.0)
    assert readiness.reasons(71.0)


def test_a_late_commit_of_a_partition_that_is_gone_changes_nothing() -> None:
    readiness = ready_worker()
    readiness.assigned([P1])
    readiness.recovered(0.0)
    readiness.committed(P0, 1.0)
    assert readiness.reasons(61.0) == (
        "events wait and nothing was committed for over 60 s in gateway.requests:1",
    )


def test_thousands_of_stuck_partitions_are_named_in_a_line() -> None:
    readiness = Readiness(dead_letters_per_minute=3)
    readiness.assigned([("gateway.requests", number) for number in range(10_000)])
    (reason,) = readiness.reasons(0.0)
    assert reason.endswith("gateway.requests:9 and 9,990 more")


# Dead letters.


def test_too_many_dead_letters_end_readiness_and_it_comes_back_by_itself() -> None:
    readiness = ready_worker()
    readiness.dead_letters(3, 10.0)
    assert readiness.reasons(10.0) == ()
    readiness.dead_letters(1, 20.0)
    assert readiness.reasons(20.0) == (
        "4 dead letters within a minute, limits.dead_letters_per_minute is 3: "
        "the upstream is broken",
    )
    for partition in (P0, P1):
        readiness.committed(partition, 71.0)
    assert readiness.reasons(71.0) == ()


def test_a_second_wave_of_dead_letters_ends_readiness_again() -> None:
    readiness = ready_worker()
    readiness.dead_letters(4, 0.0)
    readiness.dead_letters(4, 90.0)
    assert readiness.dead_letter_rate.last_minute(90.0) == 4
    assert readiness.dead_letter_rate.is_exceeded(90.0)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=40),
    st.floats(0, 100),
    st.integers(1, 20),
)
def test_the_rate_counts_the_last_minute_to_the_second(
    arrivals: list[tuple[float, int]], pause_s: float, limit: int
) -> None:
    rate = DeadLetterRate(limit)
    now_s, log = 0.0, []
    for gap_s, count in arrivals:
        now_s += gap_s
        rate.add(count, now_s)
        log.append((now_s, count))
    now_s += pause_s
    within = {s: sum(n for at_s, n in log if at_s > now_s - s) for s in (60, 61)}
    assert within[60] <= rate.last_minute(now_s) <= within[61]
    assert rate.is_exceeded(now_s) == (rate.last_minute(now_s) > limit)
    assert len(rate._by_second) <= 62


# HTTP.


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Server:
    url: str
    metrics: Metrics
    readiness: Readiness
    clock: Clock
    session: aiohttp.ClientSession

    async def get(self, path: str, accept: str = "*/*") -> tuple[int, str, str]:
        async with self.session.get(self.url + path, headers={"Accept": accept}) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()


@asynccontextmanager
async def serving(readiness: Readiness) -> AsyncIterator[Server]:
    metrics, clock = Metrics(CollectorRegistry()), Clock()
    runner = await start("127.0.0.1:0", metrics, readiness, clock)
    host, port = runner.addresses[0]
    try:
        async with aiohttp.ClientSession() as session:
            yield Server(f"http://{host}:{port}", metrics, readiness, clock, session)
    finally:
        await runner.cleanup()


async def test_ready_says_503_with_the_reasons_and_200_once_they_are_gone() -> None:
    async with serving(Readiness(dead_letters_per_minute=3)) as server:
        status, kind, text = await server.get("/ready")
        assert (status, text) == (503, "not ready: no partitions are assigned yet\n")
        assert kind.startswith("text/plain")
        server.readiness.assigned([P0])
        server.readiness.recovered(0.0)
        assert (await server.get("/ready"))[::2] == (200, "ready\n")
        server.clock.now_s = 61.0
        assert (await server.get("/ready"))[0] == 503


async def test_ready_answers_a_program_in_json() -> None:
    async with serving(Readiness(dead_letters_per_minute=3)) as server:
        status, kind, text = await server.get("/ready", "application/json")
        assert status == 503
        assert kind.startswith("application/json")
        assert text == '{"ready":false,"reasons":["no partitions are assigned yet"]}'
        server.readiness.assigned([])
        server.readiness.recovered(0.0)
        status, _, text = await server.get("/ready", "application/json")
        assert (status, text) == (200, '{"ready":true,"reasons":[]}')


async def test_live_answers_also_when_the_worker_is_not_ready() -> None:
    async with serving(Readiness(dead_letters_per_minute=3)) as server:
        assert (await server.get("/live"))[::2] == (200, "alive\n")


async def test_metrics_come_in_the_format_that_prometheus_asks_for() -> None:
    async with serving(ready_worker()) as server:
        server.metrics.rebalances.inc(7)
        for accept, kind, read in (
            ("*/*", "text/plain", read_text),
            (
                "application/openmetrics-text; version=1.0.0",
                "application/openmetrics",
                read_openmetrics,
            ),
        ):
            status, content_type, text = await server.get("/metrics", accept)
            assert status == 200
            assert content_type.startswith(kind)
            samples = {s.name: s.value for family in read(text) for s in family.samples}
            assert samples["pairwatch_rebalances_total"] == 7


async def test_metrics_say_at_each_scrape_whether_the_worker_is_ready() -> None:
    async with serving(ready_worker()) as server:
        await server.get("/metrics")
        registry = server.metrics.registry
        assert registry.get_sample_value("pairwatch_ready") == 1
        assert registry.get_sample_value("pairwatch_dead_letter_breaker_open") == 0
        server.readiness.dead_letters(100, 0.0)
        await server.get("/metrics")
        assert registry.get_sample_value("pairwatch_ready") == 0
        assert registry.get_sample_value("pairwatch_dead_letter_breaker_open") == 1


async def test_nothing_else_is_served_and_nothing_can_be_written() -> None:
    async with serving(ready_worker()) as server:
        assert (await server.get("/"))[0] == 404
        async with server.session.post(server.url + "/ready") as answer:
            assert answer.status == 405


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize(
    "setting",
    [
        "127.0.0.1",
        pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
    ],
)
async def test_the_address_of_the_setting_is_listened_on(setting: str) -> None:
    runner = await start(f"{setting}:0", Metrics(CollectorRegistry()), ready_worker())
    try:
        assert runner.addresses[0][0] == setting.strip("[]")
    finally:
        await runner.cleanup()


async def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    async with serving(ready_worker()) as server:
        listen = server.url.removeprefix("http://")
        with pytest.raises(
            OperatorError, match=rf"^metrics\.listen: can't listen on {listen}: .*in use"
        ):
            await start(listen, Metrics(CollectorRegistry()), ready_worker())


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "no-such-host.invalid:9464"])
async def test_an_address_that_does_not_exist_is_named_with_its_setting(listen: str) -> None:
    with pytest.raises(OperatorError, match=rf"^metrics\.listen: can't listen on {listen}: "):
        await start(listen, Metrics(CollectorRegistry()), ready_worker())
