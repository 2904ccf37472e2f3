"""Every metric there is: what it means, and what to do when it moves.

This is the page for whoever is on call. Metrics are updated once for each batch, carry seconds
and bytes, and never a label whose values come from outside (an account, a pair, an address).
"""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from models.config import DetectionConfig
from models.decision import Decision, DecisionAction
from models.observation import Observation
from models.scenarios import SCENARIOS
from streams.codec import REASONS
from streams.control.verifier import RefusalReason

#: What became of an event that came in; each event has exactly one outcome.
Outcome = Literal["judged", "duplicate", "late", "skipped", "dead-letter"]

#: From a batch that was waiting for us to a worker that is a minute behind.
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: A throttle's budget allows one in a thousand: what is told apart are the nines.
SCORE_BUCKETS = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 1.0)
#: What operators can say; `feedback` is `confirm` and `overturn` among them.
CONTROL_KINDS = (
    "allow",
    "release",
    "approve",
    "reject",
    "confirm",
    "overturn",
    "mode",
    "calendar",
    "unknown",
)
#: A checkpoint is due about every second; one that takes longer than the next is the news.
CHECKPOINT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one worker.

    Parameters
    ----------
    registry
        Where they are registered: one of its own for each worker, so that two in one process
        (tests, the demo) don't mix.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._flow(registry)
        self._progress(registry)
        self._state(registry)
        self._membership(registry)
        self._judgement(registry)
        self._people(registry)

        # Which code and which settings run, in its labels `version` and `config_hash` (as
        # decisions name them). Workers that differ are a half-done roll-out.
        self.build = Info(
            "pairwatch_build", "The running version and configuration", registry=registry
        )

        # process_*, python_info, python_gc_*: CPU, memory, open files. Memory that grows while
        # pairwatch_accounts_in_memory does not is a leak: restart the worker, and report it.
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def _flow(self, registry: CollectorRegistry) -> None:
        # Events by what became of them. `judged` is the throughput; none for minutes while the
        # gateway is busy: look at pairwatch_committed_lag_events. `duplicate` (same request_id)
        # rises when a shipper sends again. `late` rises when a shipper catches up or a clock
        # is wrong. `skipped` (the state already includes them) rises briefly after a restart
        # or rebalance; when it stays, offsets are not committed. `dead-letter`: see the next.
        self.events = Counter(
            "pairwatch_events", "Request events by outcome", ["outcome"], registry=registry
        )
        for outcome in get_args(Outcome):
            self.events.labels(outcome)

        # Of the judged events those that were only counted, because their account is banned and
        # sends more than it takes to judge it. Rising: a flood that nobody stops. Is the ban
        # meant (policy.mode), and does the gateway enforce it?
        self.excess_events = Counter(
            "pairwatch_excess_events",
            "Events of banned accounts beyond what judging them takes: counted only",
            registry=registry,
        )

        # Of the judged events those of which only the number was judged: their partition is behind
        # by more than limits.full_detail_lag_events, and their account sends many times what
        # people send. Rising: more workers are due, or somebody floods; see the next but one.
        self.shed_events = Counter(
            "pairwatch_shed_events",
            "Events beyond what a partition that is behind judges in full of each account",
            registry=registry,
        )

        # Partitions of this worker in which that is so. 0 once they have caught up by half.
        self.reduced_detail_partitions = Gauge(
            "pairwatch_reduced_detail_partitions",
            "Partitions that are behind and judge in full only a part of what floods",
            registry=registry,
        )

        # What other partitions have learned and this worker could not read: they run another
        # version. Until all run the same one they judge by less than is known.
        self.unreadable_digests = Counter(
            "pairwatch_unreadable_digests",
            "What other partitions have learned that could not be read",
            registry=registry,
        )

        # Events that did not fit the contract, by reason. A new reason after a deployment of
        # the gateway means that it changed its format; read some of `pairwatch.dead-letters`.
        self.dead_letters = Counter(
            "pairwatch_dead_letters", "Dead letters by reason", ["reason"], registry=registry
        )
        for reason in (*REASONS, *get_args(RefusalReason)):
            self.dead_letters.labels(reason)

        # 1 while dead letters come faster than limits.dead_letters_per_minute; the worker then
        # reports itself not ready. The upstream is broken: mend it; this closes by itself.
        self.dead_letter_breaker = Gauge(
            "pairwatch_dead_letter_breaker_open",
            "Whether dead letters come faster than the limit",
            registry=registry,
        )

        # Offsets that retention had deleted before they were read. Above 0, accounts did things
        # that nobody has judged: lengthen the topic's retention beyond the longest stop.
        self.lost_upstream_events = Counter(
            "pairwatch_lost_upstream_events",
            "Events deleted from a topic before they were read",
            ["topic"],
            registry=registry,
        )

        # Events whose account turned up in a second partition although topics.keyed_by_account
        # says that it can't. Above 0, accounts are judged by halves: set keyed_by_account to
        # false, or mend the shipper's key.
        self.misrouted_events = Counter(
            "pairwatch_misrouted_events",
            "Events that prove topics.keyed_by_account wrong",
            registry=registry,
        )

        # Decisions sent. A burst with simulated="false" is an attack or a false alarm: read
        # `pairwatch decisions`. None at all for days: is the stream complete (pair_ids)?
        self.decisions = Counter(
            "pairwatch_decisions",
            "Decisions by action, scenario and whether they are simulated",
            ["action", "scenario", "simulated"],
            registry=registry,
        )

        # From the start at 0, so that the first decision of its kind is seen as a rise.
        for scenario in SCENARIOS:
            for action in get_args(DecisionAction):
                for simulated in ("true", "false"):
                    self.decisions.labels(action, scenario.name, simulated)

        # From an event's arrival in Kafka to the acknowledged decision that it caused. The
        # promise is seconds; minutes mean lag (the next metrics) or a slow broker.
        self.event_to_decision_seconds = Histogram(
            "pairwatch_event_to_decision_seconds",
            "Seconds from an event's arrival in Kafka to the decision being acknowledged",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )

    def _progress(self, registry: CollectorRegistry) -> None:
        # Events behind the end of each partition, by committed offset. Growing everywhere: too
        # few workers, or too slow a disk. Growing in one partition: one account floods it, or
        # its consumer is stuck; restart that worker.
        self.committed_lag_events = Gauge(
            "pairwatch_committed_lag_events",
            "Events up to the partition's end that are not judged and committed yet",
            ["topic", "partition"],
            registry=registry,
        )

        # When offsets were last committed. Older than a minute with lag above 0: the worker
        # lives without working; its readiness says so too. Restart it.
        self.committed_timestamp_seconds = Gauge(
            "pairwatch_committed_timestamp_seconds",
            "Unix time of the last commit of offsets",
            registry=registry,
        )

        # How far event time has come, at the slowest partition. time() minus this is how old
        # the picture is. Far behind while the lag is 0: the shipper delays. In the future: a
        # gateway's clock is wrong.
        self.watermark_timestamp_seconds = Gauge(
            "pairwatch_watermark_timestamp_seconds",
            "Event time, Unix seconds, that the slowest partition has reached",
            registry=registry,
        )

    def _state(self, registry: CollectorRegistry) -> None:
        # Live profiles in memory. At state.accounts_in_memory_max and pairwatch_rows_written
        # rising with it, accounts are pushed out to disk and back: raise the setting.
        self.accounts_in_memory = Gauge(
            "pairwatch_accounts_in_memory", "Account profiles held live", registry=registry
        )

        # The tables' size on disk. Plan 2 KB an account. Grows without end: profiles are not
        # evicted; look for a flood of made-up account ids.
        self.state_disk_bytes = Gauge(
            "pairwatch_state_disk_bytes", "Bytes of the tables on disk", registry=registry
        )

        # How long it takes to make decisions, state and offsets durable. Near
        # state.checkpoint_interval_s the worker does little else: the broker (acknowledgements)
        # or the disk is slow.
        self.checkpoint_seconds = Histogram(
            "pairwatch_checkpoint_seconds",
            "Seconds for one checkpoint: decisions acknowledged, state written, offsets committed",
            buckets=CHECKPOINT_BUCKETS_S,
            registry=registry,
        )

        # State rows written to the table and its changelog. Per second, about the number of
        # accounts that were active in one checkpoint interval; much more is a bug.
        self.rows_written = Counter(
            "pairwatch_rows_written", "Rows written to the table", registry=registry
        )

    def _membership(self, registry: CollectorRegistry) -> None:
        # Partitions that this worker judges. The sum over workers is topics.partitions; less
        # for more than a rebalance means that some accounts are watched by nobody.
        self.partitions_assigned = Gauge(
            "pairwatch_partitions_assigned", "Partitions assigned to this worker", registry=registry
        )

        # Rebalances seen. Each stops the world for seconds. Outside of deployments it should
        # not move: a worker that is restarted again and again, or too short a
        # kafka.session_timeout_s.
        self.rebalances = Counter("pairwatch_rebalances", "Rebalances seen", registry=registry)

        # Records of changelogs read back before this worker went on: the whole state where it came
        # with an empty disk, little where it had a copy.
        self.recovered_records = Counter(
            "pairwatch_recovered_records", "Records of state read back", registry=registry
        )

        # How far the copies of others' state that this worker keeps are behind, all together
        # (state.standby_replicas). Above some thousands for long, a takeover reads that much back.
        self.standby_lag = Gauge(
            "pairwatch_standby_lag_records",
            "Records of changelogs that copies of state lack",
            registry=registry,
        )

        # What `/ready` answers: 1 ready, 0 not; `/ready` has the reasons in words.
        self.ready = Gauge("pairwatch_ready", "Whether the worker is ready", registry=registry)

    def _judgement(self, registry: CollectorRegistry) -> None:
        # Days on which an account made a request: what the budgets are shares of.
        self.account_days = Counter(
            "pairwatch_account_days", "Account-days begun", registry=registry
        )

        # Account-days with a throttle, with a ban. Without an attack, their share of
        # pairwatch_account_days is what false alarms really come to; see pairwatch_budget.
        self.account_days_hit = Counter(
            "pairwatch_account_days_hit",
            "Account-days with at least one such decision",
            ["action"],
            registry=registry,
        )
        for action in ("throttle", "ban"):
            self.account_days_hit.labels(action)

        # The false alarms that the settings allow, as a share of account-days.
        self.budget = Gauge(
            "pairwatch_budget",
            "False alarms allowed per account-day",
            ["action"],
            registry=registry,
        )

        # From which count (in a minute, hour or day) a signal asks for an action. Follows the
        # traffic slowly; one that falls a lot makes more alarms of the same traffic.
        self.level = Gauge(
            "pairwatch_level",
            "Count from which a signal asks for an action, the middle one of the partitions",
            ["signal", "action"],
            registry=registry,
        )

        # How sure the decisions were. Many near 0.99 instead of above 0.999 are near misses of
        # the budget: look whether the world has changed.
        self.decision_score = Histogram(
            "pairwatch_decision_score",
            "Scores of decisions, 0 to 1",
            ["scenario"],
            buckets=SCORE_BUCKETS,
            registry=registry,
        )

        # The leak: distinct pairs that accounts had read that day when their first decision fell.
        self.pairs_before_decision = Counter(
            "pairwatch_pairs_before_decision",
            "Distinct pairs read on the day by accounts whose first decision fell",
            ["scenario"],
            registry=registry,
        )
        for scenario in SCENARIOS:
            self.decision_score.labels(scenario.name)
            self.pairs_before_decision.labels(scenario.name)

        # 1 while decisions are simulated because too many accounts would be hit within an hour,
        # or all but one fell silent. The upstream is broken, or the attack is larger than any
        # before: look at decisions, then close it with `pairwatch mode`.
        self.breaker_open = Gauge(
            "pairwatch_breaker_open", "Whether the blast-radius breaker is open", registry=registry
        )

        # What the breaker goes by: accounts active within the hour, and those hit.
        self.accounts_active = Gauge(
            "pairwatch_accounts_active", "Accounts active within the hour", registry=registry
        )
        self.accounts_hit = Gauge(
            "pairwatch_accounts_hit", "Accounts first hit within the hour", registry=registry
        )

        # Requests that the platform failed to answer. Rising together with a flood: the flood
        # hurts everybody.
        self.server_errors = Counter(
            "pairwatch_server_errors",
            "Requests answered with a status of 500 or more",
            registry=registry,
        )

        # Records of what accounts with a link chose: about ten for an account-day, few for those
        # who choose little. Groups live in memory: bounded, and most have one member.
        self.link_activities = Counter(
            "pairwatch_link_activities", "Records of link activity sent", registry=registry
        )
        self.groups_in_memory = Gauge(
            "pairwatch_groups_in_memory", "Groups of linked accounts held live", registry=registry
        )

    def _people(self, registry: CollectorRegistry) -> None:
        # What operators said. `refused` means a wrong key, a wrong clock, or somebody who tries:
        # read the dead letters of the control topic.
        self.control_messages = Counter(
            "pairwatch_control_messages",
            "Control messages by kind and outcome",
            ["kind", "outcome"],
            registry=registry,
        )
        for kind in CONTROL_KINDS:
            self.control_messages.labels(kind, "accepted")
            self.control_messages.labels(kind, "refused")

        # Groups about which a person was asked. Read them with `pairwatch decisions`, and answer
        # with `pairwatch approve` or `pairwatch reject`.
        self.reviews_waiting = Gauge(
            "pairwatch_reviews_waiting", "Reviews that wait for a person", registry=registry
        )

        # Notices applied by this worker's partitions: operators' words, groups' verdicts and what
        # other partitions have learned. None for minutes with several partitions busy: the topic
        # of notices is not read.
        self.notices_applied = Counter(
            "pairwatch_notices_applied", "Notices applied", registry=registry
        )

    def set_budget(self, config: DetectionConfig) -> None:
        """Tell what the settings allow."""
        self.budget.labels("throttle").set(config.false_throttles_per_1000_account_days / 1_000)
        self.budget.labels("ban").set(config.false_bans_per_100000_account_days / 100_000)

    def count_judged(self, seen: Observation) -> None:
        """Count what became of a batch."""
        for outcome, count in (
            ("judged", seen.judged),
            ("duplicate", seen.duplicate),
            ("late", seen.late),
        ):
            self.events.labels(outcome).inc(count)
        self.excess_events.inc(seen.excess)
        self.shed_events.inc(seen.shed)
        self.unreadable_digests.inc(seen.unreadable_digests)
        self.account_days.inc(seen.account_days)
        for action, count in seen.hits.items():
            self.account_days_hit.labels(action).inc(count)
        self.server_errors.inc(seen.server_errors)

    def count_decision(self, decision: Decision, *, seconds: float) -> None:
        """Count a decision that was acknowledged `seconds` after its cause reached Kafka."""
        scenario = decision.scenario
        self.decisions.labels(decision.action, scenario, str(decision.simulated).lower()).inc()
        self.event_to_decision_seconds.observe(seconds)
        if decision.action in ("throttle", "ban"):
            self.decision_score.labels(scenario).observe(decision.score)
        if decision.revision == 1:
            self.pairs_before_decision.labels(scenario).inc(decision.evidence.distinct_pairs)

    def set_lag(self, topic: str, partition: int, events: int) -> None:
        """Note how far the committed offset is from the partition's end."""
        self.committed_lag_events.labels(topic, str(partition)).set(events)

    def forget_lag(self, topic: str, partition: int) -> None:
        """Drop a partition that another worker has now: its last lag would stand for ever."""
        try:
            self.committed_lag_events.remove(topic, str(partition))
        except KeyError:
            return  # revoked before its lag was ever measured
