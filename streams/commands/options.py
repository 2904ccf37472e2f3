"""Options that several commands have: they mean the same everywhere."""

from __future__ import annotations

import click

from streams.gateway import FORMATS

config_option = click.option(
    "--config", metavar="FILE", help="TOML settings; default: $PAIRWATCH_CONFIG."
)
format_option = click.option(
    "--format",
    "format_name",
    default="pairwatch",
    show_default=True,
    metavar="NAME",
    help=f"The log's format: {', '.join(sorted(FORMATS))}.",
)
decisions_file_option = click.option(
    "--decisions",
    metavar="FILE",
    help="Read decisions there instead of from Kafka: what `replay --decisions` wrote.",
)
control_file_option = click.option(
    "--control",
    metavar="FILE",
    help="With --decisions: what people said, control messages as JSON lines.",
)
