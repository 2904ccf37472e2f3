"""`pairwatch audit`: who said what and why."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import click
import msgspec
from rich.console import Console
from rich.text import Text

from streams.commands.decisions import parse_since
from streams.commands.options import config_option
from streams.consume import open_log
from streams.control.about import to_subject
from streams.control.audit import Entry, Query, Reader
from streams.control.messages import encode
from streams.control.signing import load_keys
from streams.control.verifier import Verifier
from streams.control.wording import describe
from streams.render import printable
from streams.settings import Settings, load
from streams.wording import time_of

#: Entries wait in memory for the newest to be known; each is a few KB.
LIMIT_MAX = 100_000
_WHY_CHARS_MAX = 1_000
_STYLES = {"repeated": "dim", "refused": "bold red"}


@click.command()
@config_option
@click.option("--account", "accounts", multiple=True, metavar="ID", help="Only about this account.")
@click.option("--link", "links", multiple=True, metavar="TYPE:VALUE", help="Only about this link.")
@click.option("--range", "ranges", multiple=True, metavar="CIDR", help="Only about this range.")
@click.option(
    "--since", metavar="TIME", help="Only what came since: 30m, 2h, 7d, or an RFC 3339 time."
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    help="List only the newest ones.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    config: str | None,
    accounts: tuple[str, ...],
    links: tuple[str, ...],
    ranges: tuple[str, ...],
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what operators said, oldest first: who, when, what and why.

    Marks what was refused, by checking it again with the keys in the settings, as workers do.
    Options that choose can be given several times: any of the values will do.
    """
    settings = load(config)
    asked = {"account": accounts, "link": links, "range": ranges}
    subjects = tuple(
        to_subject(scope, value).key for scope, values in asked.items() for value in values
    )
    since_s = None if since is None else parse_since(since, time.time())
    reader = Reader(Verifier(settings.control), Query(subjects, since_s))
    if not load_keys(settings.control):
        click.echo(
            "pairwatch: there is no key in the settings, so no signature can be checked", err=True
        )
    newest: deque[Entry] = deque(maxlen=limit)
    count = asyncio.run(_read(settings, reader, newest))
    show: Callable[[Entry], None] = _show_json if as_json else _Lines()
    for entry in newest:
        show(entry)
    if count > limit:
        click.echo(f"pairwatch: {count - limit:,} older ones are not shown; see --limit", err=True)


async def _read(settings: Settings, reader: Reader, newest: deque[Entry]) -> int:
    """Keep the newest entries; return how many there were."""
    count = 0
    async with open_log(settings.kafka, settings.topics.control) as log:
        async for record in log.backlog():
            entry = reader.read(record)
            if entry is not None:
                newest.append(entry)
                count += 1
    return count


def _show_json(entry: Entry) -> None:
    told = msgspec.structs.asdict(entry)
    if entry.message is not None:
        told["message"] = msgspec.Raw(encode(entry.message))
    click.echo(msgspec.json.encode(told))


class _Lines:
    """Shows entries as lines, in colour on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def __call__(self, entry: Entry) -> None:
        self._console.print(styled(entry), soft_wrap=True)


def styled(entry: Entry) -> Text:
    """Return an entry as one line; nothing in it can move a terminal's cursor or fake a line."""
    line = Text(f"{time_of(entry.arrived_at)}  ")
    message = entry.message
    if message is not None:
        line.append(f"{printable(message.by):<12}", style="bold")
        line.append(f"  {describe(message)}  ")
        line.append(f"why: {printable(message.why, _WHY_CHARS_MAX)}", style="italic")
    if entry.outcome != "accepted":
        told = "" if entry.reason is None else f": {entry.reason}, {entry.detail}"
        line.append(f"  {entry.outcome}{told}", style=_STYLES[entry.outcome])
    return line
