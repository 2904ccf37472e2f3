"""A bug of our own ends the worker; the operator can set the message aside that brings it out."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import msgspec

from models.request import Request
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.contract import assert_valid_dead_letter
from tests.integration.workers import caught_up, produce, read_to_end, traffic, worker

#: A worker with a bug that one request brings out.
_WITH_A_BUG = """
from models.judge import Judge
from streams.commands import main

judge = Judge.judge

def judge_badly(self, profile, request, *more, **named):
    if request.request_id == "r700":
        raise ZeroDivisionError("a bug")
    return judge(self, profile, request, *more, **named)

Judge.judge = judge_badly
main(["worker"])
"""


async def test_the_operator_sets_aside_the_message_that_the_log_names(
    kafka: Broker, tmp_path: Path
) -> None:
    settings = settings_for(kafka, tmp_path)
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=True)
    settings = msgspec.structs.replace(settings, topics=topics)
    await create(settings)
    requests = traffic(1_000)
    await produce(settings, requests)
    with worker(settings, tmp_path, _WITH_A_BUG) as broken:
        assert await broken.ended() == 1
    ((topic, partition),) = re.findall(r"CRITICAL (\S+)\[(\d+)\] offsets", broken.said)
    (offset,) = re.findall(r"while judging the request at offset (\d+)", broken.said)
    named = f"{topic}:{partition}:{offset}"
    limits = msgspec.structs.replace(settings.limits, skip_offsets=f"elsewhere:0:1,{named}")
    with worker(
        msgspec.structs.replace(settings, limits=limits), tmp_path, _WITH_A_BUG
    ) as relieved:
        await caught_up(settings, len(requests), relieved)
        samples = await relieved.metrics()
        await relieved.stop()
    assert f"offset {offset}: set aside, as limits.skip_offsets says" in relieved.said
    assert samples["pairwatch_dead_letters_total skipped"] == 1
    (letter,) = await read_to_end(settings, settings.topics.dead_letters)
    assert letter.key == named.encode()
    told = assert_valid_dead_letter(letter.value or b"")
    assert told["reason"] == "skipped"
    original = base64.b64decode(told["original_base64"])
    assert msgspec.json.decode(original, type=Request).request_id == "r700"
