"""Keeps a map file of the decisions in force for nginx, and reloads it when that changes.

nginx compares a map's strings without regard to case and expands `$` in their values, so only
plain ids are written, each beside its own exact spelling; about any other nginx asks the authz
service, which decides exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import click

from models.decision import Decision
from streams.decision_store import DecisionStore
from streams.errors import OperatorError
from streams.settings import load

log = logging.getLogger("pairwatch")

#: What may stand in the file unescaped. `pairwatch-http.conf` has the same pattern.
PLAIN = re.compile(r"[A-Za-z0-9._:@+/=-]{1,128}")
#: nginx reads no longer parameter than 4,096 bytes; ids that differ in case alone share one.
VALUE_CHARS_MAX = 2_000
#: Reading that many lines takes nginx half a second; they end soonest that are left out.
LINES_MAX = 100_000
#: Decisions come in bursts, which shall cost one reload.
GATHER_S = 0.05
#: Nothing is waited for longer than this, in case the clock is set meanwhile.
LOOK_INTERVAL_S_MAX = 5.0
#: A reload that takes longer is not going to succeed.
RELOAD_TIMEOUT_S = 30.0
ERROR_CHARS_MAX = 1_000


def render(decisions: Iterable[Decision]) -> str:
    """Write the map: subject → the exact ids behind it, each with `ban:<decision id>` or `ask`.

    `*` in place of ids means: ask about everybody. At most `LINES_MAX` lines.
    """
    entries: dict[str, list[str]] = defaultdict(list)
    for decision in sorted(decisions, key=_end, reverse=True)[:LINES_MAX]:
        if decision.scope == "group":
            if all(PLAIN.fullmatch(part) for part in decision.value.split(":", 1)):
                entries[decision.key.lower()] = ["*"]
        elif PLAIN.fullmatch(decision.value):
            is_told = decision.action == "ban" and PLAIN.fullmatch(decision.decision_id)
            what = f"ban:{decision.decision_id}" if is_told else "ask"
            entries[decision.key.lower()].append(f"{decision.value} {what}")
    lines = []
    for subject, told in sorted(entries.items()):
        value = ",".join(sorted(told))
        lines.append(f'"{subject}" "{value if len(value) <= VALUE_CHARS_MAX else "*"}";\n')
    return "".join(lines)


def _end(decision: Decision) -> tuple[bool, str]:
    return decision.expires_at is None, decision.expires_at or ""


def write(path: Path, text: str) -> None:
    """Replace a file in one step: whoever reads it sees the old text or the new one, whole."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


async def reload(command: list[str]) -> bool:
    """Run the command that makes nginx read the file again; return whether it succeeded."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RELOAD_TIMEOUT_S):
            _, errors = await process.communicate()
    except TimeoutError:
        errors = f"no end after {RELOAD_TIMEOUT_S:g} s".encode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode != 0:
        told = errors.decode(errors="replace").strip()[-ERROR_CHARS_MAX:]
        log.error("%s failed, nginx goes on with older decisions: %s", shlex.join(command), told)
    return process.returncode == 0


async def keep(store: DecisionStore, path: Path, command: list[str], interval_s: float) -> None:
    """Keep the file in step with the store, with at most one reload in `interval_s`.

    Until the store is ready the file stays as an earlier run left it.
    """
    loaded: str | None = None
    while True:
        now_s = time.time()
        until_s = min(store.in_force.next_end_s(now_s) - now_s, LOOK_INTERVAL_S_MAX)
        await store.changed(max(until_s, 0.0))
        if not store.ready:
            continue
        await asyncio.sleep(GATHER_S)
        text = render(store.in_force.all(time.time()))
        if text != loaded:
            write(path, text)
            loaded = text if await reload(command) else None
            await asyncio.sleep(interval_s)


@click.command()
@click.option("--config", metavar="FILE", help="TOML settings; default: $PAIRWATCH_CONFIG.")
@click.option("--map", "path", default="/run/pairwatch/decisions.map", show_default=True)
@click.option("--reload", "command", default="nginx -s reload", show_default=True)
@click.option(
    "--interval-s",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.1, 3_600),
    help="At most one reload in this time.",
)
def main(config: str | None, path: str, command: str, interval_s: float) -> None:
    """Keep nginx's map of decisions up to date."""
    logging.basicConfig(format="pairwatch nginx: %(message)s")
    try:
        settings = load(config)
        file = Path(path)
        if not os.access(file.parent, os.W_OK):
            raise OperatorError(f"--map: {file.parent} is no directory that can be written to")
        words = shlex.split(command)
        if not words or shutil.which(words[0]) is None:
            raise OperatorError(f"--reload: there is no program {command!r} to run")
        store = DecisionStore(settings.kafka, settings.topics.decisions_state)
        asyncio.run(_run(store, file, words, interval_s))
    except OperatorError as error:
        click.echo(f"pairwatch nginx: {error}", err=True)
        sys.exit(2)


async def _run(store: DecisionStore, path: Path, command: list[str], interval_s: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.follow())
        tasks.create_task(keep(store, path, command, interval_s))


if __name__ == "__main__":
    main()
