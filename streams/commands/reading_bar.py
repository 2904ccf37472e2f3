"""The progress bar of the commands that read log files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from streams.gateway.files import Progress as Reading


@contextmanager
def reading_bar(what: str, reading: Reading) -> Iterator[Callable[[], None]]:
    """Show how far reading has got, on a terminal only; yields what moves the bar on."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=reading.bytes_total or None)
        yield lambda: bar.update(task, completed=reading.bytes_read)
