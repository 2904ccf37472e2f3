"""`pairwatch simulate`: write labelled traffic to a file or to Kafka."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.request import Request
from streams.errors import OperatorError
from streams.simulate import INTENSITIES, MIXES, World, simulate
from streams.simulate.write import opened, write_labels, write_lines

#: Millions of short-lived lists and no cycles: a search for garbage after every 700 of them, as
#: Python has it, takes a quarter of the time. This many hold some ten megabytes.
_GC_THRESHOLD = 50_000
#: Requests between two steps of the progress bar.
_STEP = 5_000


@click.command()
@click.argument("scenario", required=False)
@click.option("--list", "show_list", is_flag=True, help="Show the scenarios and stop.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same bytes.")
@click.option(
    "--accounts", type=int, help="Honest accounts; attackers come on top. [default: 2000]"
)
@click.option("--days", type=float, help="Length of the run, from a Monday. [default: 7]")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    help="Attack in place of the scenario's own; repeat for several.",
)
@click.option(
    "--intensity",
    default="normal",
    show_default=True,
    help="gentle, normal, hard, or a number that multiplies the attacks' pace.",
)
@click.option(
    "--out",
    default="-",
    show_default=True,
    metavar="FILE",
    help="JSON lines; .gz and .zst compress; - is standard output.",
)
@click.option(
    "--labels", metavar="FILE", help="Write who is honest and who is not, one JSON line each."
)
@click.option("--kafka", is_flag=True, help="Send to topics.requests instead of a file.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="With --kafka: at most N events a second.",
)
@click.option(
    "--config", metavar="FILE", help="With --kafka: settings. [default: PAIRWATCH_CONFIG]"
)
def command(
    scenario: str | None,
    show_list: bool,
    seed: int,
    accounts: int | None,
    days: float | None,
    attacks: tuple[str, ...],
    intensity: str,
    out: str,
    labels: str | None,
    kafka: bool,
    rate: float | None,
    config: str | None,
) -> None:
    """Write seeded, labelled traffic of SCENARIO in time order.

    \b
    pairwatch simulate --list
    pairwatch simulate saturday-night --out week.jsonl.zst --labels labels.jsonl
    pairwatch simulate ordinary --accounts 500 --days 1 | pairwatch replay -
    pairwatch simulate slow-drip --intensity gentle --kafka --rate 2000

    The events carry no label: the truth goes to the file of --labels alone. Time in the events
    starts on Monday 2024-02-26 UTC, whatever the clock says.
    """
    if show_list or scenario is None:
        _show_scenarios()
        return
    if rate is not None and not kafka:
        raise OperatorError("--rate: only together with --kafka")
    world = simulate(
        scenario,
        seed=seed,
        accounts=accounts,
        days=days,
        attacks=attacks or None,
        intensity=_intensity(intensity),
    )
    gc.set_threshold(_GC_THRESHOLD)
    if kafka:
        from streams import settings
        from streams.simulate.publish import publish

        count = asyncio.run(publish(_watched(world), settings.load(config), rate))
    else:
        with opened(out) as file:
            count = write_lines(_watched(world), file)
    if labels is not None:
        write_labels(world.labels, labels)
    attackers = sum(not label.honest for label in world.labels)
    click.echo(
        f"{count:,} events of {len(world.labels):,} accounts, {attackers} of them attacking; "
        f"{world.catalogue_size:,} pairs in the catalogue",
        err=True,
    )


def _show_scenarios() -> None:
    width = max(len(name) for name in MIXES)
    for name, mix in MIXES.items():
        click.echo(f"{name:{width}}  {mix.summary}")


def _intensity(text: str) -> float:
    if text in INTENSITIES:
        return INTENSITIES[text]
    try:
        return float(text)
    except ValueError:
        names = ", ".join(INTENSITIES)
        raise OperatorError(f"--intensity: {text} is neither a number nor one of {names}") from None


def _watched(world: World) -> Iterator[Request]:
    """Return the events; on a terminal they show how far the run has come."""
    console = Console(stderr=True)
    return _with_progress(world, console) if console.is_terminal else world.events()


def _with_progress(world: World, console: Console) -> Iterator[Request]:
    columns = (
        TextColumn("{task.fields[events]:,} events"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("simulated hours"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=round(world.days * 24), events=0)
        for count, event in enumerate(world.events(), start=1):
            yield event
            if count % _STEP == 0:
                hours = int((event.ts - world.start_s) // 3600)
                bar.update(task, completed=hours, events=count)
