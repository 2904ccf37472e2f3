"""`pairwatch topics`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import click
import msgspec

from streams import settings as settings_reader
from streams.commands.options import config_option
from streams.topics import TopicReport, check, create


@click.command()
@config_option
@click.option("--check", "only_check", is_flag=True, help="Create nothing, only report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(config: str | None, only_check: bool, as_json: bool) -> None:
    """Create the topics that are missing, and check those that exist.

    An existing topic is never altered. Exits with status 1 if one differs from what it should
    be or, with --check, is missing.
    """
    settings = settings_reader.load(config)
    reports = asyncio.run(check(settings) if only_check else create(settings))
    is_right = all(report.status in ("ok", "created") for report in reports)
    if as_json:
        told = {"ok": is_right, "topics": reports}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2))
    else:
        _print(reports)
        _advise(reports)
    sys.exit(0 if is_right else 1)


def _print(reports: Sequence[TopicReport]) -> None:
    width = max(len(report.name) for report in reports)
    for report in reports:
        shape = f"partitions: {report.partitions}, replicas: {report.replication}"
        click.echo(f"{report.status:<8} {report.name:<{width}}  {shape}")
        for difference in report.differences:
            click.echo(f"         {difference}")
    unknown = sorted({name for report in reports for name in report.not_checked})
    if unknown:
        click.echo(f"not checked, as the broker does not tell: {', '.join(unknown)}")


def _advise(reports: Sequence[TopicReport]) -> None:
    """Say on standard error what to do where not all is right."""
    missing = sum(report.status == "missing" for report in reports)
    different = sum(report.status == "differs" for report in reports)
    if missing:
        click.echo(f"pairwatch: {missing} missing; `pairwatch topics` creates them", err=True)
    if different:
        click.echo(
            f"pairwatch: {different} differ from what they should be, as told above", err=True
        )
