"""The metrics say what happened, to Prometheus and within bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import streams.metrics
from models.observation import Observation
from streams.codec import REASONS
from streams.metrics import Metrics
from tests.decisions import decision


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def test_two_workers_in_one_process_count_apart() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Metrics(one).rebalances.inc()
    Metrics(other)
    assert one.get_sample_value("pairwatch_rebalances_total") == 1
    assert other.get_sample_value("pairwatch_rebalances_total") == 0


def test_a_decision_is_counted_by_action_scenario_and_mode_with_its_delay(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    made = decision(simulated=True)
    metrics.count_decision(made, seconds=0.2)
    labels = {"action": "throttle", "scenario": made.scenario, "simulated": "true"}
    assert registry.get_sample_value("pairwatch_decisions_total", labels) == 1
    assert registry.get_sample_value("pairwatch_event_to_decision_seconds_sum") == 0.2
    fast = registry.get_sample_value("pairwatch_event_to_decision_seconds_bucket", {"le": "0.1"})
    slow = registry.get_sample_value("pairwatch_event_to_decision_seconds_bucket", {"le": "0.25"})
    assert (fast, slow) == (0, 1)


def test_known_outcomes_and_reasons_start_at_zero_so_that_their_first_rise_is_seen(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for outcome in ("judged", "duplicate", "late", "skipped", "dead-letter"):
        assert registry.get_sample_value("pairwatch_events_total", {"outcome": outcome}) == 0
    for reason in REASONS:
        assert registry.get_sample_value("pairwatch_dead_letters_total", {"reason": reason}) == 0


def test_what_becomes_of_a_batch_is_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    seen = Observation(
        judged=5,
        excess=1,
        shed=2,
        duplicate=3,
        late=4,
        account_days=6,
        unreadable_digests=7,
        server_errors=9,
    )
    seen.hits = {"ban": 8}
    metrics.count_judged(seen)
    expected = {
        "account_days": 6,
        "excess_events": 1,
        "shed_events": 2,
        "unreadable_digests": 7,
    }
    for name, count in expected.items():
        assert registry.get_sample_value(f"pairwatch_{name}_total") == count
    for outcome, count in (("judged", 5), ("duplicate", 3), ("late", 4)):
        labels = {"outcome": outcome}
        assert registry.get_sample_value("pairwatch_events_total", labels) == count
    hits = registry.get_sample_value("pairwatch_account_days_hit_total", {"action": "ban"})
    assert hits == 8


def test_the_lag_of_a_partition_goes_with_the_partition(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    labels = {"topic": "gateway.requests", "partition": "3"}
    metrics.set_lag("gateway.requests", 3, 17)
    assert registry.get_sample_value("pairwatch_committed_lag_events", labels) == 17
    metrics.forget_lag("gateway.requests", 3)
    assert registry.get_sample_value("pairwatch_committed_lag_events", labels) is None


def test_a_partition_that_was_never_measured_can_be_forgotten(metrics: Metrics) -> None:
    metrics.forget_lag("gateway.requests", 4)


def test_the_build_names_version_and_configuration(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.build.info({"version": "0.1.0", "config_hash": "5b1f"})
    labels = {"version": "0.1.0", "config_hash": "5b1f"}
    assert registry.get_sample_value("pairwatch_build_info", labels) == 1


def test_the_process_itself_is_measured(registry: CollectorRegistry, metrics: Metrics) -> None:
    assert registry.get_sample_value("process_cpu_seconds_total") is not None
    assert registry.get_sample_value("process_resident_memory_bytes") is not None
    assert registry.get_sample_value("python_gc_collections_total", {"generation": "0"}) is not None


def test_everything_is_valid_openmetrics_under_our_name_with_a_help_text(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.set_lag("gateway.requests", 3, 17)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(registry).decode()
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    ours = [f for f in families if not f.name.startswith(("process_", "python_"))]
    assert len(ours) >= 15
    for family in ours:
        assert family.name.startswith("pairwatch_")
        assert family.documentation
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes", "_score"))  # a score has no unit


def test_no_label_carries_what_comes_from_outside(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    bounded = {"outcome", "reason", "action", "scenario", "simulated", "topic", "partition"} | {
        "signal",
        "kind",
    }
    for collector in vars(metrics).values():
        assert set(getattr(collector, "_labelnames", ())) <= bounded


def test_every_metric_says_in_a_comment_what_to_make_of_it() -> None:
    source = Path(streams.metrics.__file__).read_text(encoding="utf-8")
    uncommented = re.findall(r"\n\n +self\.(\w+) = (?:Counter|Gauge|Histogram|Info)\(", source)
    assert uncommented == []
    assert len(re.findall(r"# .*\n +self\.\w+ = (?:Counter|Gauge|Histogram|Info)\(", source)) >= 15
