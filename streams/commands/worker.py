"""`pairwatch worker`."""

from __future__ import annotations

import click

from streams import settings as settings_reader
from streams.collector import spare_the_living
from streams.commands.options import config_option


@click.command()
@config_option
def command(config: str | None) -> None:
    """Run the detector against Kafka until it is stopped.

    Reads the requests, judges them and sends decisions. SIGTERM or Ctrl-C ends it with a
    checkpoint; killed any other way it loses nothing either. Run `pairwatch topics` first.
    """
    settings = settings_reader.load(config)
    from streams.worker import run

    spare_the_living()
    run(settings)
