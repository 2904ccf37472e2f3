"""The Faust application: one worker of the group."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
from faust.auth import OAuthCredentials
from faust.types import TP
from prometheus_client import CollectorRegistry

from streams.assignor import Assignor
from streams.checkpoint import Checkpoints
from streams.codec import InvalidRequest
from streams.control.verifier import Verifier
from streams.errors import OperatorError
from streams.health import Readiness
from streams.homes import Homes
from streams.kafka import TokenFile, sasl_password, ssl_context
from streams.lanes import Lanes
from streams.metrics import Metrics
from streams.outbox import PRODUCE_TIMEOUT_S, Outbox
from streams.recovery import BulkTableManager
from streams.rows import Reach
from streams.settings import Kafka, Settings
from streams.shard import Shard
from streams.state_log import StateLog
from streams.table import ROCKSDB_OPTIONS, StateTable
from streams.transport import POLL_RECORDS_MAX, BatchTransport, Flow

log = logging.getLogger("pairwatch")

#: Polls waiting in front of an agent: enough that it never runs dry, few enough that a rebalance
#: throws little away and memory stays bounded (a poll is a megabyte of each partition at most).
_POLLS_WAITING_MAX = 2
#: What an operator can do about state of records that are gone.
_OTHER_STATE = (
    "the state does not belong to it: start with another kafka.group and an empty state.directory"
)


class App(faust.App):  # type: ignore[misc]
    """Faust with batches, own offset books and health of its own."""

    settings: Settings
    metrics: Metrics
    readiness: Readiness
    outbox: Outbox
    state_log: StateLog
    checkpointer: Checkpoints
    table: StateTable
    lanes: Lanes
    #: Checks what operators say; `None` until they say something.
    verifier: Verifier | None
    #: `None` where accounts can't be misrouted.
    homes: Homes | None
    #: Whether the partitions are this worker's own and all of their state has been recovered.
    #: (Faust's `in_recovery` is not yet set while a group forms, and is reset when a recovery was
    #: cut short by the next rebalance: a shard taken up then would begin with an old past.)
    is_at_work = False

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    @cached_property
    def flow_control(self) -> Flow:
        """The gate before the agents."""
        return Flow(loop=self.loop)

    @cached_property
    def skipped(self) -> frozenset[tuple[TP, int]]:
        """The messages that the operator has named to be set aside unjudged."""
        told = self.settings.limits.skip_offsets
        named = (one.split(":") for one in told.split(",")) if told is not None else ()
        return frozenset((TP(topic, int(number)), int(offset)) for topic, number, offset in named)

    def refuse_skipped(self, tp: TP, offset: int) -> None:
        """Refuse a message that the operator has named.

        Raises
        ------
        InvalidRequest
            It is one of those.
        """
        if self.skipped and (tp, offset) in self.skipped:
            log.warning(
                "%s[%d] offset %d: set aside, as limits.skip_offsets says",
                tp.topic,
                tp.partition,
                offset,
            )
            raise InvalidRequest("skipped", "limits.skip_offsets names it")

    def shard(self, tp: TP) -> Shard:
        """Return the state of a partition, taking it up from the table at its first batch."""
        shard = self.checkpointer.shard(tp)
        if shard is None:
            shard = Shard(
                self.settings.detection(),
                self.version,
                self.settings.topics.logs,
                tp.partition,
                self.settings.topics.partitions,
                self.table.reader(tp.partition),
                lambda: self._log_ends(tp.partition),
            )
            self.checkpointer.add_shard(tp, shard)
        return shard

    def _log_ends(self, partition: int) -> Reach | None:
        logs = self.settings.topics.logs
        requests, activity, notices = (self.log_end(TP(topic, partition)) for topic in logs)
        if requests is None or activity is None or notices is None:
            return None
        return requests, activity, notices

    def assignment_of_accounts(self) -> list[TP]:
        """Return the partitions that this worker judges."""
        source = self.settings.topics.accounts_source
        return [tp for tp in self.consumer.assignment() if tp.topic == source]

    def log_end(self, tp: TP) -> int | None:
        """Return the offset after a partition's last record, `None` if it isn't known."""
        end: int | None = self.consumer.log_end(tp)
        return end

    @property
    def version(self) -> str:
        """pairwatch's version, as decisions name it."""
        return version("pairwatch")

    async def is_member(self) -> bool:
        """Whether the group still counts on this worker."""
        return bool(await self.consumer.is_member())

    def on_new_beginning(self, tp: TP, read: int, offset: int) -> None:
        """Act on a log that goes on below what was read of it: its topic was made anew."""
        said = f"{tp.topic}[{tp.partition}] was read up to offset {read} and goes on at {offset}"
        if tp.topic in self.settings.topics.logs:
            self.fail(OperatorError(f"{said}; if the topic was made anew, {_OTHER_STATE}"))
        else:
            self.checkpointer.begin_anew(tp)
            log.warning("%s: taking it for a topic that was made anew", said)

    def on_made_anew(self, topic: str) -> None:
        """Stop reading a topic that was made anew: where its beginning was missed isn't known."""
        is_log = topic in self.settings.topics.logs
        then = _OTHER_STATE if is_log else "start again, and it is read from its beginning"
        self.fail(OperatorError(f"{topic} was deleted and made anew while it was read: {then}"))

    def on_lost(self, tp: TP, first: int, end: int) -> None:
        """Count and tell what was deleted before it was read; nothing brings it back."""
        self.metrics.lost_upstream_events.labels(tp.topic).inc(end - first)
        log.error(
            "%s[%d] lost offsets %d–%d before they were read: its retention is shorter than "
            "the worker was away or behind",
            tp.topic,
            tp.partition,
            first,
            end - 1,
        )

    def on_name_taken(self) -> None:
        """Leave the work to another worker that the group knows by this one's name."""
        kafka = self.settings.kafka
        self.fail(
            OperatorError(
                f"kafka.instance_id: another worker has joined the group {kafka.group} as "
                f"{kafka.instance_id}, and this one gives way; each needs a name of its own"
            )
        )

    def fail(self, error: BaseException) -> None:
        """Bring the worker to an end; nothing is committed any more."""
        self.checkpointer.fail()
        if not self.crashed:
            self._crash(error)


def create_app(settings: Settings) -> App:
    """Build a worker's application."""
    app = App(
        settings.kafka.group,
        broker_client_id="pairwatch",
        broker=[f"kafka://{broker}" for broker in settings.kafka.brokers.split(",")],
        broker_credentials=_credentials(settings.kafka),
        broker_commit_interval=settings.state.checkpoint_interval_s,
        broker_max_poll_records=POLL_RECORDS_MAX,
        broker_session_timeout=settings.kafka.session_timeout_s,
        broker_rebalance_timeout=settings.kafka.rebalance_timeout_s,
        # aiokafka wants every answer to outlast the session and a rebalance.
        broker_request_timeout=settings.kafka.session_timeout_s
        + settings.kafka.rebalance_timeout_s,
        broker_heartbeat_interval=min(3.0, settings.kafka.session_timeout_s / 3),
        consumer_group_instance_id=settings.kafka.instance_id,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.005,
        producer_max_batch_size=262_144,
        producer_max_request_size=2 * 2**20,  # a request of 1 MiB is forwarded whole
        producer_request_timeout=PRODUCE_TIMEOUT_S,
        stream_buffer_maxsize=_POLLS_WAITING_MAX,
        stream_wait_empty=True,
        recovery_consistency_check=True,
        TableManager=BulkTableManager,
        store="rocksdb://",
        datadir=Path(settings.state.directory),
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.topics.partitions,
        table_standby_replicas=settings.state.standby_replicas,
        PartitionAssignor=Assignor,
        web_enabled=False,
        autodiscover=False,
    )
    app.settings = settings
    app.metrics = Metrics(CollectorRegistry())
    app.metrics.build.info(
        {"version": app.version, "config_hash": settings.detection().config_hash()}
    )
    app.metrics.set_budget(settings.detection())
    app.readiness = Readiness(dead_letters_per_minute=settings.limits.dead_letters_per_minute)
    app.outbox = Outbox(app)
    app.state_log = StateLog(settings.kafka, lambda: app.consumer.session_lasts)
    app.lanes = Lanes()
    app.verifier = None
    app.homes = Homes() if settings.topics.keyed_by_account else None
    table = StateTable(
        app,
        name="accounts",
        partitions=settings.topics.partitions,
        key_type=bytes,
        value_type=bytes,
        options=dict(ROCKSDB_OPTIONS),
    )
    app.table = app.tables.add(table)
    # They need the type of the application.
    from streams import agents, membership, notices, publish

    app.checkpointer = Checkpoints(
        table,
        app.state_log,
        app.is_member,
        app.metrics,
        app.readiness,
        settings.topics.logs,
        partial(notices.apply_notices, app),
        partial(publish.publish_ends, app),
        settings.state.accounts_in_memory_max,
    )
    membership.follow(app)
    agents.attach(app)
    return app


def _credentials(kafka: Kafka) -> Any:
    context, password = ssl_context(kafka), sasl_password(kafka)
    if kafka.sasl_token_file is not None:
        return OAuthCredentials(oauth_cb=TokenFile(kafka.sasl_token_file), ssl_context=context)
    if kafka.sasl_mechanism is not None:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None
