"""The thread in which a worker reads: what is committed only, under its own name, from the topics
that its offsets are of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.consumer import fetcher
from faust.transport.consumer import TP
from faust.transport.drivers import aiokafka as driver

from streams.namesake import give_way
from streams.silence import tell_of_silence
from streams.topic_ids import topic_ids

#: aiokafka has one fetch on its way to a broker. While that waits for partitions without news,
#: those whose records have been used up meanwhile wait with it.
_FETCH_WAIT_MS = 100


def _as_read(value: bytes | None) -> bytes | None:
    """Deserialize nothing, and say so: see `_Records`."""
    return value


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's iterator over what was fetched of a partition.

    It makes of each record, which is an object in C, an instance of a Python class with what else
    is known of it. Those of a worker know which partition they come from, so that theirs stay as
    they are: offset, timestamp, key, value and headers. It saves one in fifteen of a worker's
    microseconds.
    """

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if self._value_deserializer is _as_read:
            return record
        return super()._consumer_record(tp, record)


# aiokafka asks for no other place to say so; other consumers of the process go on as before.
fetcher.PartitionRecords = _Records


class Reader(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's thread around aiokafka's consumer.

    Reads nothing of transactions that were aborted or are open. Offsets are committed with the id
    of the topic that they are of: one that comes late, when the topic has been made anew, would
    else be taken for one of the new topic's, and what stands before it would be left out.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        #: By topic the id of what is read.
        self._ids: dict[str, str] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads so only where it writes in transactions itself.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        consumer._value_deserializer = _as_read
        commit = consumer.commit

        async def commit_with_ids(offsets: Mapping[Any, Any]) -> None:
            await commit(
                {
                    tp: told._replace(metadata=self._ids.get(tp.topic, ""))
                    for tp, told in offsets.items()
                }
            )

        consumer.commit = commit_with_ids
        return consumer

    async def on_start(self) -> None:
        """Connect; the group is joined later."""
        await super().on_start()
        tell_of_silence(self._consumer._coordinator)
        if self.app.conf.consumer_group_instance_id is not None:
            give_way(
                self._consumer._coordinator,
                lambda: self.parent_loop.call_soon_threadsafe(self.app.on_name_taken),
            )

    async def note_topics(self, tps: Collection[TP]) -> dict[TP, int]:
        """Note which topics are read from here on; return the offsets that are of others.

        To be called in this thread.
        """
        self._ids = await topic_ids(self._consumer._client, {tp.topic for tp in tps})
        committed = await self._consumer._coordinator.fetch_committed_offsets(list(tps))
        return {
            TP(tp.topic, tp.partition): told.offset
            for tp, told in committed.items()
            if told.offset > 0 and self._is_of_another(tp.topic, told.metadata)
        }

    def _is_of_another(self, topic: str, committed: str) -> bool:
        # Neither earlier versions nor the oldest brokers name an id.
        return bool(committed) and committed != self._ids.get(topic, committed)

    async def topics_made_anew(self) -> list[str]:
        """Return those of the topics noted last that are not what they were.

        To be called in this thread. One that is gone may come back yet.
        """
        now = await topic_ids(self._consumer._client, self._ids)
        return [topic for topic, known in self._ids.items() if now.get(topic, known) != known]
