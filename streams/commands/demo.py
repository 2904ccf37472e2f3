"""`pairwatch demo`."""

from __future__ import annotations

import asyncio
import signal
import sys

import click
import msgspec
from rich.console import Console

#: A week of so many accounts is over within a minute and still has peers of every kind.
ACCOUNTS = 1_500
_SCENARIO = "saturday-night"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--seed", default=1, show_default=True, help="Another seed is another week.")
@click.option(
    "--accounts",
    default=ACCOUNTS,
    show_default=True,
    help="Paying accounts in the simulated week; fewer are faster, and tell less apart.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(seed: int, accounts: int, as_json: bool) -> None:
    """Watch a simulated incident being noticed; takes about a minute and needs nothing else.

    An image platform sells access to a catalogue of prompt/image pairs. On a Saturday night two
    accounts of one company copy it. The demo starts a small Kafka-compatible broker in memory
    and the real detector (`pairwatch worker`), sends it a week of made-up requests, those of
    honest customers and of the two, far faster than they would come, and shows each decision as
    it is made. At the end the decisions are held against the truth: who was stopped, how soon,
    and who was bothered without cause.

    Everything runs on this machine's loopback interface and is gone afterwards, also after
    Ctrl-C.
    """
    interrupted: list[int] = []
    try:
        _play(seed, accounts, as_json, interrupted)
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("pairwatch: stopped; nothing is left running", err=True)
        sys.exit(128 + (interrupted or [signal.SIGINT])[0])


def _play(seed: int, accounts: int, as_json: bool, interrupted: list[int]) -> None:
    # Here, where Ctrl-C has its answer already: these take a second.
    from streams.demo.screen import screen, told
    from streams.demo.stage import WorkerFailedError, stage
    from streams.demo.summary import Summary, play_and_summarise
    from streams.simulate import simulate

    world = simulate(_SCENARIO, seed=seed, accounts=accounts)
    console = Console(stderr=as_json, highlight=False)

    async def run() -> Summary:
        _cancel_on_signals(interrupted)
        with screen(world, console) as audience:
            async with stage() as ready:
                return await play_and_summarise(ready, world, accounts, audience)

    try:
        summary = asyncio.run(run())
    except WorkerFailedError as error:
        click.echo("\n".join(error.log), err=True)
        raise
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    else:
        console.print("\n".join(told(summary)), markup=False, soft_wrap=True)


def _cancel_on_signals(interrupted: list[int]) -> None:
    """End only where the program waits: nothing is then left half started or half stopped."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel(number: int) -> None:
        if not interrupted and task is not None:  # once: a second one must not cut the end short
            interrupted.append(number)
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, cancel, number)
