"""The pages in deploy/ as text: their links, their code, and the command lines in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from streams.commands import cli
from tests.deploy.container.tools import DEPLOY

RUNBOOKS = DEPLOY / "runbooks"
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
#: Every page for operators; those below enforcement/ speak of commands as well.
ALL_PAGES = sorted(DEPLOY.rglob("*.md"))

_FENCE = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
#: Where a shell would look for a command's name.
_CALLED = re.compile(r"(?:^|[|&;])\s*pairwatch\s")
_REDIRECTION = re.compile(r"\s+[<>]\s*\S+")


def blocks(page: Path) -> list[str]:
    """Return the shell code of a page, block by block."""
    return _FENCE.findall(page.read_text())


def inline(page: Path) -> list[str]:
    """Return what stands between single backticks."""
    return _INLINE.findall(_FENCE.sub("", page.read_text()))


def links(page: Path) -> list[str]:
    """Return where a page points to within the repository, without anchors."""
    found = [link.partition("#")[0] for link in _LINK.findall(page.read_text())]
    return [link for link in found if link and "://" not in link]


def command_lines(code: str) -> Iterator[list[str]]:
    """Yield the arguments of each `pairwatch` in lines of shell code."""
    for line in filter(_CALLED.search, code.replace("\\\n", " ").splitlines()):
        for words in _commands(_REDIRECTION.sub("", line)):
            if words[:1] == ["pairwatch"]:
                yield words[1:]


def _commands(line: str) -> Iterator[list[str]]:
    """Part a line where the shell would: at pipes and lists, outside of quotes."""
    words: list[str] = []
    parted = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    parted.whitespace_split = True
    for word in parted:
        if set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def parse(arguments: list[str], *, whole: bool) -> None:
    """Read a command line with the real parser, without running the command.

    Parameters
    ----------
    arguments
        What stands after `pairwatch`.
    whole
        `False` where only the words that are there must be right: text names commands without
        all that they need.

    Raises
    ------
    click.UsageError
        No such command, no such option, or something is missing.
    """
    context = click.Context(cli, info_name="pairwatch")
    name, command, rest = cli.resolve_command(context, arguments)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    try:
        command.make_context(name, rest, parent=context)
    except click.MissingParameter:
        if whole:
            raise
