"""`pairwatch check-config`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from streams import settings as settings_reader
from streams.commands.options import config_option
from streams.control.signing import load_keys
from streams.kafka import client_arguments
from streams.settings import Settings
from streams.settings_reader import Secret
from streams.topic_plan import changelog_topic


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print every setting in force as JSON.")
def command(config: str | None, as_json: bool) -> None:
    """Validate a configuration and say in plain words what it will do.

    Reads the file, the environment and the certificates they name; touches no broker and shows
    no secret. Exits with status 2 if something does not exist or does not fit.
    """
    settings = settings_reader.load(config)
    client_arguments(settings.kafka)  # reads certificates and the password file, if any
    if as_json:
        told = msgspec.json.encode(settings, enc_hook=_hide)
        click.echo(msgspec.json.format(told, indent=2))
        return
    for line in describe(settings):
        click.echo(line)


def describe(settings: Settings) -> Iterator[str]:
    """Yield what a worker with these settings does, a sentence or two a line."""
    yield _connection(settings)
    yield _input(settings)
    yield _decisions(settings)
    yield _budgets(settings)
    yield _control(settings)
    yield from _scenarios(settings)
    yield _catalogue(settings)
    yield _state(settings)
    yield (
        f"Serves /metrics, /live and /ready on {settings.metrics.listen}; not ready above "
        f"{settings.limits.dead_letters_per_minute} dead letters a minute."
    )


def _connection(settings: Settings) -> str:
    kafka = settings.kafka
    means = {
        "PLAINTEXT": "without encryption and without a password",
        "SSL": "with TLS",
        "SASL_SSL": "with TLS and credentials",
        "SASL_PLAINTEXT": "WITHOUT encryption, sending credentials that anyone on the way can use",
    }[kafka.security]
    if kafka.security.endswith("SSL") and not kafka.ssl_check_hostname:
        means += ", NOT checking that the certificate is the broker's own"
    who = f" as {kafka.sasl_username} ({kafka.sasl_mechanism})" if kafka.sasl_mechanism else ""
    if kafka.sasl_token_file is not None:
        who = f" by the token in {kafka.sasl_token_file} ({kafka.sasl_mechanism})"
    return f"Connects to Kafka at {kafka.brokers} {means}{who}, as group {kafka.group}."


def _input(settings: Settings) -> str:
    topics = settings.topics
    bad = f"What does not fit goes to {topics.dead_letters}."
    if topics.keyed_by_account:
        return (
            f"Reads {topics.requests} directly, trusting that its keys are accounts and that it "
            f"has {topics.partitions} partitions. {bad}"
        )
    return (
        f"Reads {topics.requests}, keys it anew by account through {topics.requests_by_account} "
        f"({topics.partitions} partitions). {bad}"
    )


def _decisions(settings: Settings) -> str:
    where = (
        f"Writes decisions to {settings.topics.decisions} and what is in force to "
        f"{settings.topics.decisions_state}."
    )
    if settings.policy.mode == "enforce":
        return f"Enforces: decisions are meant, and the gateway acts on them. {where}"
    return f"Shadow mode: every decision is marked simulated, and nobody acts on it. {where}"


def _budgets(settings: Settings) -> str:
    policy = settings.policy
    throttles = _so_many(policy.false_throttles_per_1000_account_days, "false throttle")
    bans = _so_many(policy.false_bans_per_100000_account_days, "false ban")
    return f"Bears at most {throttles} in 1,000 account-days and {bans} in 100,000."


def _so_many(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


def _control(settings: Settings) -> str:
    topic, share = settings.topics.control, settings.policy.blast_radius_share
    brake = f"Simulates everything once more than {share:.0%} of accounts would be hit in an hour."
    names = ", ".join(key.key_id for key in load_keys(settings.control))
    if settings.control.accept_unsigned:
        return f"Heeds ANYBODY who can write to {topic}, signed or not. {brake}"
    if not names:
        return f"Heeds nobody on {topic}: no key is set (control.keys_file). {brake}"
    return f"Heeds what is signed on {topic} with one of the keys {names}. {brake}"


def _scenarios(settings: Settings) -> Iterator[str]:
    means = {
        "off": "is switched off",
        "shadow": "only simulates its decisions",
        "enforce": "enforces its decisions",
    }
    for name, scenario in sorted(settings.scenarios.items()):
        yield f"Scenario {name} {means[scenario.mode]}, whatever the mode of the service."


def _catalogue(settings: Settings) -> str:
    if settings.catalogue.size is None:
        return "catalogue.size is not set: the catalogue's size is estimated from the stream."
    return f"Takes the catalogue to have {settings.catalogue.size:,} pairs."


def _state(settings: Settings) -> str:
    state = settings.state
    return (
        f"Keeps state in {Path(state.directory).absolute()} and in {changelog_topic(settings)}, "
        f"written every {state.checkpoint_interval_s:g} s; at most "
        f"{state.accounts_in_memory_max:,} accounts in memory. "
        f"Other workers that keep a copy of each partition's: {state.standby_replicas}."
    )


def _hide(value: Any) -> str:
    if isinstance(value, Secret):
        return "(set, not shown)"
    raise NotImplementedError(type(value))
