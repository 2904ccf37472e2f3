"""The Faust application: one worker of the group."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from prometheus_client import CollectorRegistry

from streams import health
from streams.checkpoint import Checkpoints
from streams.health import Readiness
from streams.kafka import sasl_password, ssl_context
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.settings import Kafka, Settings
from streams.shard import Shard
from streams.table import ROCKSDB_OPTIONS, StateTable
from streams.transport import POLL_RECORDS_MAX, BatchTransport

#: Batches waiting in front of an agent: enough that it never runs dry, few enough that a
#: rebalance throws little away and memory stays bounded (a batch is half a megabyte at most).
_BATCHES_WAITING_MAX = 16
#: An acknowledgement that takes longer than this is a broker that is gone: the worker stops,
#: loudly, and what it had not committed is done again.
_PRODUCE_TIMEOUT_S = 120.0
#: Lag is asked of the broker at this pace.
_LAG_INTERVAL_S = 5.0


class App(faust.App):  # type: ignore[misc]
    """Faust with batches, own offset books and health of its own."""

    settings: Settings
    metrics: Metrics
    readiness: Readiness
    outbox: Outbox
    checkpointer: Checkpoints
    table: StateTable

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def shard(self, tp: TP) -> Shard:
        """Return the state of a partition, taking it up from the table at its first batch."""
        shard = self.checkpointer.shard(tp)
        if shard is None:
            shard = Shard(
                self.settings.detection(),
                self.version,
                tp.topic,
                tp.partition,
                self.table.reader(tp.partition),
            )
            self.checkpointer.add_shard(tp, shard)
        return shard

    @property
    def version(self) -> str:
        """pairwatch's version, as decisions name it."""
        return version("pairwatch")

    async def on_start(self) -> None:
        """Answer probes from the first moment: recovery can take minutes."""
        await super().on_start()
        self._health = await health.start(
            self.settings.metrics.listen, self.metrics, self.readiness
        )

    async def on_stop(self) -> None:
        """Stop answering last."""
        await super().on_stop()
        await self._health.cleanup()


def create_app(settings: Settings, *, consistency_check: bool = True) -> App:
    """Build a worker's application.

    Parameters
    ----------
    settings
        All of it.
    consistency_check
        Whether recovery compares the changelog's end with the table's. The embedded broker
        answers wrongly there, so the demo switches it off.
    """
    app = App(
        settings.kafka.group,
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
        producer_request_timeout=_PRODUCE_TIMEOUT_S,
        stream_buffer_maxsize=_BATCHES_WAITING_MAX,
        stream_wait_empty=True,
        recovery_consistency_check=consistency_check,
        store="rocksdb://",
        datadir=Path(settings.state.directory),
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.topics.partitions,
        table_standby_replicas=0,
        web_enabled=False,
        autodiscover=False,
    )
    app.settings = settings
    app.metrics = Metrics(CollectorRegistry())
    app.metrics.build.info(
        {"version": app.version, "config_hash": settings.detection().config_hash()}
    )
    app.readiness = Readiness(dead_letters_per_minute=settings.limits.dead_letters_per_minute)
    app.outbox = Outbox(app)
    table = StateTable(
        app,
        name="accounts",
        partitions=settings.topics.partitions,
        key_type=bytes,
        value_type=bytes,
        options=dict(ROCKSDB_OPTIONS),
        # Faust's standby copies would be judged stale rows only once taken over.
    )
    app.table = app.tables.add(table)
    app.checkpointer = Checkpoints(
        table, app.outbox, app.metrics, settings.state.accounts_in_memory_max
    )
    _follow_partitions(app)
    from streams import agents  # the agents need the type of the application

    agents.attach(app)
    return app


def _follow_partitions(app: App) -> None:
    """Keep state, readiness and metrics in step with what this worker is assigned."""

    async def on_revoked(_: Any, revoked: set[TP], **__: Any) -> None:
        app.readiness.rebalancing()
        app.metrics.rebalances.inc()
        app.checkpointer.drop(revoked)
        for tp in revoked:
            app.metrics.forget_lag(tp.topic, tp.partition)

    async def on_assigned(_: Any, assigned: set[TP], **__: Any) -> None:
        mine = _source_partitions(app, assigned)
        app.readiness.assigned([(tp.topic, tp.partition) for tp in mine])
        judged = app.settings.topics.accounts_source
        app.metrics.partitions_assigned.set(sum(tp.topic == judged for tp in mine))

    async def watch_progress() -> None:
        while not app.should_stop:
            await asyncio.sleep(_LAG_INTERVAL_S)
            _measure_lag(app)

    app.on_partitions_revoked.connect(on_revoked)
    app.on_partitions_assigned.connect(on_assigned)
    app.task(watch_progress)


def _source_partitions(app: App, tps: set[TP]) -> list[TP]:
    return [tp for tp in tps if tp.topic not in app.tables.changelog_topics]


def _measure_lag(app: App) -> None:
    """Ask how far each partition's committed offset is behind its end."""
    now_s = time.monotonic()
    if not app.rebalancing and app.tables.actives_ready:
        app.readiness.recovered(now_s)
    for tp in _source_partitions(app, app.consumer.assignment()):
        end, committed = app.consumer.highwater(tp), app.consumer._committed_offset[tp]
        if end is not None:
            lag = max(end - (committed or 0), 0)
            app.metrics.set_lag(tp.topic, tp.partition, lag)
            app.readiness.lag_measured((tp.topic, tp.partition), lag, now_s)


def _credentials(kafka: Kafka) -> Any:
    context, password = ssl_context(kafka), sasl_password(kafka)
    if kafka.sasl_mechanism is not None:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None
