"""`pairwatch pseudonymise`."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from streams.codec import MESSAGE_BYTES_MAX, InvalidRequest, decode_request
from streams.pseudonyms import Pseudonyms, load_keys


@click.command()
@click.option("--keys", "path", required=True, metavar="FILE", help="Lines of: since key_id key.")
def command(path: str) -> None:
    """Replace names in request events by keyed hashes, from standard input to standard output.

    Reads and writes JSON lines, one at a time, for a shipper to pipe them through: accounts,
    owners, pairs, addresses and links become pseudonyms, and what is no field of the contract (a
    prompt, say) is left out. Lines that are no request are left out too and told on standard
    error.
    """
    pseudonyms = Pseudonyms(load_keys(path))
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    number = 0
    while line := lines.readline(MESSAGE_BYTES_MAX + 2):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = lines.readline(MESSAGE_BYTES_MAX)
        if not line.strip():
            continue
        try:
            request = decode_request(line.rstrip(b"\r\n"), time.time())
        except InvalidRequest as error:
            click.echo(f"pairwatch: line {number} is left out: {error}", err=True)
            continue
        out.write(msgspec.json.encode(pseudonyms.request(request)) + b"\n")
        out.flush()
