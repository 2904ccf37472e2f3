"""Where the worker's time goes, sampled by py-spy while it judges."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import Counter
from pathlib import Path

from rich.table import Table

from tests.benchmarks.measure import Measurement
from tests.benchmarks.subjects import Bench, watch, worker
from tests.benchmarks.tools import tools

#: The innermost frame that is named here says to which step a sample belongs.
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("decode", ("decode_request", "_arrived_s")),
    ("hash ids and pairs", ("hash64", "hash32", "_foreign_pairs")),
    ("tell repeats", ("RecentRequests.admit", "admit (models/recent")),
    ("sketches", ("see_pairs",)),
    ("popularity", ("_weigh", "_learn_pairs", "(models/popularity")),
    ("judge links", ("judge_links", "(models/groups/groups", "(models/groups/evidence")),
    (
        "follow choices",
        ("(models/groups/activities", "(models/groups/day", "(models/link_activity"),
    ),
    ("exchange and breaker", ("(models/exchange", "(models/breaker", "_begin_epoch")),
    ("windows", ("count (models/profile", "(models/window", "close_day", "begins_day")),
    ("climb and calibrate", ("_climb", "(models/calibration", "begin_account_day", "_refit")),
    ("decide", ("_decide (models/detector", "Detector._decide")),
    ("take up profiles", ("from_bytes", "_load (streams/shard", "Shard._load")),
    # Of what is compiled nothing is seen but who called it.
    ("judge, otherwise", ("observe (models/detector", "Detector.observe", "judge (streams/shard")),
    ("misrouted accounts", ("misrouted",)),
    ("encode checkpoint", ("begin_checkpoint", "(streams/rows")),
    ("write table", ("write (streams/table", "StateTable.write")),
    ("produce", ("(streams/outbox", "(aiokafka/producer")),
    ("fetch", ("(aiokafka/consumer", "(aiokafka/record", "(aiokafka/protocol", "(aiokafka/conn")),
    ("Faust", ("(faust/", "(mode/", "(streams/transport")),
    ("agents, otherwise", ("(streams/agents", "(streams/checkpoint")),
)
_REST = "event loop and the rest"
_RATE_HZ = 400
_SPY_TIMEOUT_S = 30.0


def profile(bench: Bench) -> Table:
    """Run the worker under py-spy, and share its processor time out over the steps of an event."""
    samples = bench.directory / "samples"
    spying: list[subprocess.Popen[bytes]] = []
    with worker(bench, keyed=True) as (process, settings):

        def spy() -> None:
            arguments = [str(tools() / "py-spy"), "record", "--pid", str(process.pid), "--gil"]
            arguments += ["--format", "raw", "--rate", str(_RATE_HZ), "--output", str(samples)]
            said = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            spying.append(subprocess.Popen(arguments, **said))

        group, topic = settings.kafka.group, settings.topics.accounts_source
        measured = asyncio.run(watch(bench, group, topic, process, on_first=spy))
        for spied in spying:
            spied.send_signal(signal.SIGINT)  # then it writes down what it has seen
            spied.wait(_SPY_TIMEOUT_S)
    return _table(_shares(samples), measured)


def _shares(samples: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_step(stack.split(";"))] += int(count)
    return counts


def _step(stack: list[str]) -> str:
    for frame in reversed(stack):
        for step, marks in _STEPS:
            if any(mark in frame for mark in marks):
                return step
    return _REST


def _table(counts: Counter[str], measured: Measurement) -> Table:
    out = Table(box=None, pad_edge=False)
    out.add_column("step")
    out.add_column("share", justify="right")
    out.add_column("µs an event", justify="right")
    micros = measured.cpu_seconds / measured.events * 1e6
    for step in [*(name for name, _ in _STEPS), _REST]:
        share = counts[step] / counts.total()
        out.add_row(step, f"{share:.1%}", f"{share * micros:.2f}")
    out.add_row("all", "100 %", f"{micros:.2f}")
    return out
