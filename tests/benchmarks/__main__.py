"""`make bench`: pairwatch beside what it is built on, one core each, on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console

from streams.embedded import embedded_broker
from streams.errors import OperatorError
from tests.benchmarks.flood import flood
from tests.benchmarks.growth import growth
from tests.benchmarks.known import known
from tests.benchmarks.latency import latency
from tests.benchmarks.lines import curves
from tests.benchmarks.measure import Measurement, SubjectError
from tests.benchmarks.preload import preload
from tests.benchmarks.report import chart, rows, table
from tests.benchmarks.subjects import PYTHON, SUBJECTS, Bench, measure_worker
from tests.benchmarks.takeover import takeover
from tests.benchmarks.tools import ToolsError
from tests.benchmarks.workers import workers
from tests.brokers.kafka import KafkaCluster

_BUILD = Path(__file__).parents[2] / "build" / "benchmarks"
#: A worker that catches up commits every fourth second, and the clock, which goes from commit to
#: commit, needs several.
_EVENTS, _QUICK_EVENTS = 3_000_000, 1_000_000
#: What can be measured, in this order.
_PARTS = ("compare", "growth", "workers", "latency", "known", "takeover", "flood")
#: Latency is measured at this part of what a worker can do.
_LOAD = 0.5
#: As wide as the table, where there is no terminal to ask.
console = Console(width=None if sys.stdout.isatty() else 120)


@click.command()
@click.option("--events", default=_EVENTS, show_default=True, help="How many events to preload.")
@click.option("--runs", default=3, show_default=True, help="Rounds over all subjects.")
@click.option("--quick", is_flag=True, help=f"One round with {_QUICK_EVENTS:,} events.")
@click.option("--broker", type=click.Choice(["kafka", "embedded"]), default="kafka")
@click.option(
    "--only", multiple=True, type=click.Choice([s.name for s in SUBJECTS]), help="Subjects to run."
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(_PARTS),
    default=_PARTS[:1],
    show_default=True,
    help="What to measure; repeat for more.",
)
@click.option(
    "--known", "accounts", default=1_000_000, help="Accounts of `known`, `takeover` and `flood`."
)
@click.option(
    "--rate",
    type=float,
    help="Events a second of the part `latency`, by default half of what a worker judges.",
)
@click.option("--profile", "profiling", is_flag=True, help="Say what the worker's time goes to.")
def main(
    events: int,
    runs: int,
    quick: bool,
    broker: str,
    only: tuple[str, ...],
    parts: tuple[str, ...],
    accounts: int,
    rate: float | None,
    profiling: bool,
) -> None:
    """Measure what one core judges, beside the bare client, Faust and Quix Streams."""
    events, runs = (min(events, _QUICK_EVENTS), 1) if quick else (events, runs)
    pin = _share_out_cores()
    with (
        tempfile.TemporaryDirectory(prefix="pairwatch-bench-") as folder,
        _broker(broker, Path(folder)) as bootstrap,
    ):
        directory = Path(folder)
        bench = Bench(bootstrap, events, directory / "events.jsonl", directory, pin)
        size = asyncio.run(preload(bootstrap, events, bench.log))
        console.print(
            f"{events:,} events of {size / events:.0f} bytes on {broker}; "
            f"load before: {os.getloadavg()[0]:.1f}"
        )
        if profiling:
            from tests.benchmarks.profile import profile

            console.print(profile(bench))
            return
        if "compare" in parts:
            _compare(bench, runs, only)
        if "growth" in parts:
            with pin(0):
                grown = growth(PYTHON)
            _tell("growth", grown)
            _write("growth.svg", curves(grown))
        if "workers" in parts:
            _tell("workers", workers(bench))
        if "latency" in parts:
            rate = rate or _LOAD * measure_worker(bench, keyed=True).events_per_s
            _tell("latency", latency(bench, rate))
        if "known" in parts:
            _tell("known", known(bench, accounts))
        if "takeover" in parts:
            _tell("takeover", takeover(bench, accounts))
        if "flood" in parts:
            _tell("flood", flood(bench, accounts))
    console.print(f"load after: {os.getloadavg()[0]:.1f}; written to {_BUILD}")


def _tell(name: str, found: object) -> None:
    text = msgspec.json.format(msgspec.json.encode(found)).decode()
    console.print(f"{name}: {text}", highlight=False, markup=False)
    _write(f"{name}.json", text)


def _compare(bench: Bench, runs: int, only: tuple[str, ...]) -> None:
    summed_up = rows(SUBJECTS, _measure(bench, runs, only))
    if not summed_up:
        sys.exit("nothing could be measured")
    console.print(table(summed_up))
    _write("results.json", msgspec.json.format(msgspec.json.encode(summed_up)).decode())
    _write("results.svg", chart(summed_up))


def _measure(bench: Bench, runs: int, only: tuple[str, ...]) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = defaultdict(list)
    for number in range(1, runs + 1):
        for subject in SUBJECTS:
            if only and subject.name not in only:
                continue
            try:
                run = subject.run(bench)
            except (SubjectError, ToolsError) as error:
                console.print(f"skipped: {subject.label}: {error}", markup=False)
                continue
            found[subject.name].append(run)
            console.print(
                f"round {number}: {subject.label}: {run.events_per_s:,.0f} events/s, "
                f"{run.cpu_seconds_per_100k:.2f} CPU s / 100,000"
            )
    return found


def _share_out_cores() -> Callable[[int], AbstractContextManager[None]]:
    """Keep this process and its broker on one core; return what gives others to subjects."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("the benchmarks pin processes to cores, which needs Linux")
    ours, *others = sorted(os.sched_getaffinity(0))
    if not others:
        sys.exit("the benchmarks need two cores: one for the broker, one for what is measured")
    os.sched_setaffinity(0, {ours})
    cores = (*others, ours)

    @contextmanager
    def pin(core: int) -> Iterator[None]:
        os.sched_setaffinity(0, {cores[core % len(cores)]})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {ours})

    return pin


@contextmanager
def _broker(kind: str, directory: Path) -> Iterator[str]:
    if kind == "embedded":
        with embedded_broker() as bootstrap:
            yield bootstrap
        return
    cluster = KafkaCluster(directory / "kafka")
    try:
        cluster.start()
        yield cluster.bootstrap
    finally:
        cluster.stop()


def _write(name: str, text: str) -> None:
    _BUILD.mkdir(parents=True, exist_ok=True)
    (_BUILD.parent / ".gitignore").write_text("*\n")
    (_BUILD / name).write_text(text)


if __name__ == "__main__":
    try:
        main()
    except OperatorError as error:
        sys.exit(str(error))
