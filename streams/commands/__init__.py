"""The command line: one file for each command, loaded only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from streams.errors import OperatorError

#: Each in the module of its name below this package (dashes as `_`), but for `CONTROL_COMMANDS`.
COMMANDS = (
    "allow",
    "approve",
    "audit",
    "calendar",
    "check-config",
    "compare",
    "confirm",
    "decisions",
    "demo",
    "explain",
    "mode",
    "overturn",
    "pseudonymise",
    "reject",
    "release",
    "replay",
    "report",
    "simulate",
    "topics",
    "worker",
)
#: Those that write to the control topic have most of their code in common.
CONTROL_COMMANDS = (
    "allow",
    "approve",
    "calendar",
    "confirm",
    "mode",
    "overturn",
    "reject",
    "release",
)


class _Commands(click.Group):
    """Loads a command's module on demand: `--help` answers without importing River or Faust."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in CONTROL_COMMANDS:
            from streams.commands import control

            return control.COMMANDS[cmd_name]
        module = importlib.import_module(f"streams.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _summary(name)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _summary(name: str) -> str:
    from streams.commands.summaries import SUMMARIES

    return SUMMARIES[name]


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pairwatch")
def cli() -> None:
    """Notice who is copying the catalogue of prompt/image pairs, and say whom to stop."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command; an operator's error becomes one line on standard error and status 2."""
    try:
        status = cli.main(args=arguments, prog_name="pairwatch", standalone_mode=False)
    except OperatorError as error:
        _fail(str(error), 2)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        # Over several lines, as choices are listed.
        said = " ".join(error.format_message().split()).removesuffix(".")
        called = "pairwatch" if error.ctx is None else error.ctx.command_path
        _fail(f"{said}; `{called} --help` says more", 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(why: str, status: int) -> NoReturn:
    click.echo(f"pairwatch: {why}", err=True)
    sys.exit(status)
