"""`pairwatch replay`."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
import orjson
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.table import Table

from models.decision import Decision
from streams import settings as settings_reader
from streams.collector import spare_the_living
from streams.commands.options import config_option, format_option
from streams.dead_letters import DeadLetter, FileSource
from streams.errors import OperatorError
from streams.gateway.files import Progress as Reading
from streams.gateway.read import BadLine, read_requests
from streams.replay import Replay, Summary


class _Jobs(click.ParamType):
    name = "jobs"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if value == "auto":
            return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        jobs: int = click.IntRange(min=1).convert(value, param, ctx)
        return jobs


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@format_option
@click.option("--decisions", metavar="OUT", help="Write the decisions there, as JSON lines.")
@click.option("--dead-letters", metavar="OUT", help="Write the bad lines there, as JSON lines.")
@config_option
@click.option(
    "--jobs",
    type=_Jobs(),
    default="1",
    show_default=True,
    metavar="N",
    help="Processes that judge, no more than topics.partitions; auto: as many as cores. "
    "It changes no decision. Worth it for logs with hundreds of requests a minute.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    files: tuple[str, ...],
    format_name: str,
    decisions: str | None,
    dead_letters: str | None,
    config: str | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Run the detector over log files: what it would have decided, and why.

    FILE may be compressed (.gz, .zst); `-` is standard input. Time is the log's own. Bad lines
    are counted and set aside, the status is 0 all the same; 2 means that the input can't be read.
    """
    settings = settings_reader.load(config)
    spare_the_living()
    with ExitStack() as stack:
        out = _writer(stack, decisions)
        bad = _writer(stack, dead_letters)
        arrived_s = time.time()

        def on_decision(decision: Decision) -> None:
            if out is not None:
                out.write(msgspec.json.encode(decision))

        def on_bad_line(line: BadLine) -> None:
            if bad is not None:
                source = FileSource(line.path, line.line)
                letter = DeadLetter(line.reason, line.detail, source, arrived_s, line.original)
                bad.write(letter.encode())

        replay = stack.enter_context(
            Replay(settings, version("pairwatch"), on_decision, on_bad_line, jobs)
        )
        reading = Reading.of(files)
        started_s = time.perf_counter()
        log = read_requests(files, format_name, settings, arrived_s, reading)
        bar = stack.enter_context(_progress_bar())
        task = bar.add_task("replay", total=reading.bytes_total or None)

        def followed() -> None:
            bar.update(task, completed=reading.bytes_read)

        replay.run(log, followed)
        replay.summary.seconds = time.perf_counter() - started_s
    if as_json:
        click.echo(orjson.dumps(replay.summary.as_dict()))
    else:
        _print(replay.summary, simulated=settings.policy.mode == "shadow")
    if replay.summary.lines and not replay.summary.events:
        click.echo(
            f"pairwatch: none of these lines is a request in the format {format_name}: does "
            "--format fit? --dead-letters FILE says of each line what is wrong with it",
            err=True,
        )


class _Output:
    """A file of JSON lines, or standard output; what can't be written is the operator's to mend."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: io.RawIOBase | BinaryIO
        with self._telling():
            if path == "-":
                self._file = click.get_binary_stream("stdout")
            else:
                # Without a buffer, so that nothing is left to fail when it is closed.
                self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115

    def write(self, line: bytes) -> None:
        with self._telling():
            rest = memoryview(line + b"\n")
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        with self._telling():
            self._file.flush()
            if self._path != "-":
                self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(f"{self._path}: {error.strerror}") from None


def _writer(stack: ExitStack, path: str | None) -> _Output | None:
    return None if path is None else stack.enter_context(closing(_Output(path)))


def _progress_bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _print(summary: Summary, *, simulated: bool) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(justify="right", style="bold")
    table.add_column()

    def row(count: int, what: str) -> None:
        table.add_row(f"{count:,}", what)

    row(summary.lines, "lines")
    row(summary.events, f"requests of {summary.accounts:,} accounts")
    for count, what in (
        (summary.duplicate, "of them repeats"),
        (summary.late, "of them too late"),
        (summary.excess, "of them of banned accounts, beyond need: only counted"),
    ):
        if count:
            row(count, what)
    row(sum(summary.bad_lines.values()), "bad lines")
    for reason, count in sorted(summary.bad_lines.items()):
        row(count, f"  {reason}")
    row(sum(summary.decisions.values()), "decisions" + (" (simulated)" if simulated else ""))
    for what, count in sorted(summary.decisions.items()):
        row(count, f"  {what}")
    rate = summary.lines / summary.seconds if summary.seconds else 0
    table.add_row(f"{rate:,.0f}", f"lines/s, {summary.seconds:.1f} s in all")
    Console().print(table)
