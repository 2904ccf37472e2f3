"""A Faust agent that does nothing, event by event. Arguments: brokers, topic, group, folder."""

import sys
from pathlib import Path

import faust

brokers, topic, group, directory = sys.argv[1:]
app = faust.App(
    group,
    broker=f"kafka://{brokers}",
    broker_commit_interval=1.0,
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    topic_allow_declare=False,
    web_enabled=False,
    datadir=Path(directory),
)
source = app.topic(topic, value_type=bytes, value_serializer="raw", key_serializer="raw")


@app.agent(source)
async def nothing(stream: faust.StreamT) -> None:
    """Take the events."""
    async for _ in stream:
        pass


faust.Worker(app, loglevel="WARN").execute_from_commandline()
