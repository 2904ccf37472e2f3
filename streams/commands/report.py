"""`pairwatch report`."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

import click

from streams import settings as settings_reader
from streams.case import Case, read
from streams.commands.explain import sources
from streams.commands.options import (
    config_option,
    control_file_option,
    decisions_file_option,
    format_option,
)
from streams.commands.reading_bar import reading_bar
from streams.errors import OperatorError
from streams.gateway.files import STDIN, Progress
from streams.gateway.read import read_requests
from streams.report.page import render
from streams.report.traffic import Traffic, traffic_of


@click.command()
@click.argument("name", metavar="ACCOUNT|DECISION")
@config_option
@decisions_file_option
@control_file_option
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="Plot the traffic itself from this log; may be given several times.",
)
@format_option
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Write the page there.")
def command(
    name: str,
    config: str | None,
    decisions: str | None,
    control: str | None,
    logs: tuple[str, ...],
    format_name: str,
    out: str,
) -> None:
    """Write a case as one HTML page that needs nothing else: figures, plots, what was said.

    ACCOUNT is an account's id, or a group as org:example.com; DECISION a decision's id. The page
    names people's accounts: keep it as you keep those.
    """
    origin = sources(config, decisions, control)
    case = read(origin, name)
    traffic = _traffic(case, logs, format_name, config) if logs else None
    page = render(case, traffic, origin.name, version("pairwatch"), time.time()).encode()
    if out == STDIN:
        click.get_binary_stream("stdout").write(page)
        return
    try:
        Path(out).write_bytes(page)
    except OSError as error:
        raise OperatorError(f"{out}: {error.strerror}") from None


def _traffic(
    case: Case, logs: tuple[str, ...], format_name: str, config: str | None
) -> Traffic | None:
    reading = Progress.of(logs)
    log = read_requests(logs, format_name, settings_reader.load(config), time.time(), reading)
    with reading_bar("traffic", reading) as step:
        traffic = traffic_of(case.scope, case.value, log, step)
    if traffic is None:
        raise OperatorError(
            f"{', '.join(logs)}: there is no request of {case.scope} {case.value!r}; is it the "
            "log of that time, and do its accounts stand where [gateway] says?"
        )
    return traffic
