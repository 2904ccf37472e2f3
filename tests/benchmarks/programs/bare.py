"""The limit: a consumer that decodes events and forgets them. Arguments: brokers, topic, group."""

import asyncio
import sys
import time

import orjson
from aiokafka import AIOKafkaConsumer

_COMMIT_INTERVAL_S = 0.2


async def _run(brokers: str, topic: str, group: str) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=False,
    )
    await consumer.start()
    committed_s = time.monotonic()
    while True:
        polled = await consumer.getmany(timeout_ms=100)
        for records in polled.values():
            for record in records:
                orjson.loads(record.value)
        if time.monotonic() - committed_s > _COMMIT_INTERVAL_S:
            await consumer.commit()
            committed_s = time.monotonic()


asyncio.run(_run(*sys.argv[1:]))
