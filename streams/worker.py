"""Running a worker's application until it is stopped."""

from __future__ import annotations

import faust

from streams.app import App


def run(app: App) -> None:
    """Run until SIGTERM or Ctrl-C; never returns."""
    worker = faust.Worker(app, loglevel="info")
    worker.execute_from_commandline()
