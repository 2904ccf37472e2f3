"""Quix Streams counting events per account and minute. Arguments: brokers, topic, group, folder."""

import sys
from datetime import timedelta

from quixstreams import Application

brokers, topic, group, directory = sys.argv[1:]
app = Application(
    broker_address=brokers,
    consumer_group=group,
    auto_offset_reset="earliest",
    commit_interval=1.0,
    state_dir=directory,
    loglevel="WARNING",
)
source = app.topic(
    topic,
    key_deserializer="bytes",
    value_deserializer="json",
    timestamp_extractor=lambda value, *_: int(value["ts"] * 1_000),
)
frame = app.dataframe(source)
frame.tumbling_window(timedelta(minutes=1)).count().current()
app.run()
