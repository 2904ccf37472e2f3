"""Every setting there is, and the one place that reads them.

A TOML file and the environment (`PAIRWATCH_<SECTION>__<KEY>`, which wins) become one frozen
`Settings`. Whatever does not exist or does not fit is refused by name before anything starts.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from models.config import DetectionConfig, Mode, ScenarioMode
from models.request import Action
from streams.errors import OperatorError

ENV_PREFIX = "PAIRWATCH_"
ENV_CONFIG = "PAIRWATCH_CONFIG"

PositiveInt = Annotated[int, msgspec.Meta(gt=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
TopicName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
#: host:port, an IPv6 host in brackets.
Listen = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):\d{1,5}$")]


class Kafka(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach Kafka."""

    brokers: str = "127.0.0.1:9092"
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    group: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] = "pairwatch"
    #: Static membership: a worker that comes back under its own name costs no rebalance.
    instance_id: str | None = None
    session_timeout_s: PositiveFloat = 45.0
    rebalance_timeout_s: PositiveFloat = 60.0


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names and shapes of the topics."""

    requests: TopicName = "gateway.requests"
    requests_by_account: TopicName = "pairwatch.requests.by-account"
    decisions: TopicName = "pairwatch.decisions"
    dead_letters: TopicName = "pairwatch.dead-letters"
    control: TopicName = "pairwatch.control"
    keyed_by_account: bool = False
    partitions: Partitions = 12
    #: Unset: three, or as many as there are brokers.
    replication: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None

    @property
    def decisions_state(self) -> str:
        """The compacted topic with the decision now in force for each subject."""
        return f"{self.decisions}.state"

    @property
    def accounts_source(self) -> str:
        """The topic in which all of an account's events meet in one partition."""
        return self.requests if self.keyed_by_account else self.requests_by_account


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a worker keeps its tables, and how often it makes them durable."""

    directory: str = "./pairwatch-data"
    checkpoint_interval_s: PositiveFloat = 1.0
    #: Live profiles kept in memory; the rest wait on disk.
    accounts_in_memory_max: PositiveInt = 200_000


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where `/metrics`, `/live` and `/ready` are served."""

    listen: Listen = "127.0.0.1:9464"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether decisions are meant, and how many false ones the operator will bear."""

    mode: Mode = "shadow"
    false_throttles_per_1000_account_days: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 1.0
    false_bans_per_100000_account_days: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 1.0


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the catalogue; unset is estimated from the stream."""

    size: PositiveInt | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that protect the worker from a broken upstream."""

    #: More than this and the worker reports itself not ready: the upstream is broken.
    dead_letters_per_minute: PositiveInt = 600


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scenario's own mode."""

    mode: ScenarioMode


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table that reads a gateway log: first match wins.

    `path` is a regular expression matched against the whole path without its query; a group
    named `pair` is the pair's id, a group named `owner` the account it belongs to.
    """

    path: Annotated[str, msgspec.Meta(max_length=1_000)]
    action: Action
    method: str | None = None


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a foreign gateway log is read by `replay`."""

    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=1_000)] = ()
    #: Where the account stands: a field of the log, or a request header. Unset or absent in a
    #: line: the client's address.
    account_field: str | None = None
    account_header: str | None = None
    #: Lines may be this much out of order; later ones are judged where they stand.
    reorder_window_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    reorder_lines_max: PositiveInt = 200_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings, section by section."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    state: State = State()
    metrics: Metrics = Metrics()
    policy: Policy = Policy()
    catalogue: Catalogue = Catalogue()
    limits: Limits = Limits()
    gateway: Gateway = Gateway()
    scenarios: dict[str, Scenario] = {}

    def detection(self) -> DetectionConfig:
        """Return what the models need to know."""
        return DetectionConfig(
            mode=self.policy.mode,
            false_throttles_per_1000_account_days=self.policy.false_throttles_per_1000_account_days,
            false_bans_per_100000_account_days=self.policy.false_bans_per_100000_account_days,
            catalogue_size=self.catalogue.size,
            scenarios={name: scenario.mode for name, scenario in self.scenarios.items()},
        )


def load(path: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from a TOML file and the environment.

    Parameters
    ----------
    path
        The TOML file; `None` takes `PAIRWATCH_CONFIG`, and without that the defaults.
    environ
        The environment to read; `None` takes the process's own.

    Raises
    ------
    OperatorError
        A file that can't be read, or a setting that does not exist or does not fit.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get(ENV_CONFIG) or None
    told: dict[str, Any] = _read_toml(path) if path else {}
    for section, keys in told.items():
        _check_names(section, keys, origin=path or "")
    for name, section, key, text in _from_environment(environ):
        value = _parse_text(text, section, key)
        keys = told.setdefault(section, {})
        try:
            msgspec.convert({section: {key: value}}, Settings)
        except msgspec.ValidationError as error:
            raise OperatorError(f"{name}: {error}") from None
        keys[key] = value
    try:
        return msgspec.convert(told, Settings)
    except msgspec.ValidationError as error:
        raise OperatorError(f"{path}: {_name_setting(error)}") from None


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OperatorError(f"{path}: there is no such configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(f"{path}: {error}") from None


def _fields(section: str) -> tuple[str, ...] | None:
    """Return a section's keys, `None` where it takes any name."""
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    if section not in types:
        raise OperatorError(
            f"there is no section [{section}]{_did_you_mean(section, tuple(types))}"
        )
    kind = types[section]
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return tuple(f.name for f in msgspec.structs.fields(kind)) if is_struct else None


def _check_names(section: str, keys: Any, origin: str) -> None:
    try:
        known = _fields(section)
    except OperatorError as error:
        raise OperatorError(f"{origin}: {error}") from None
    if not isinstance(keys, dict):
        raise OperatorError(f"{origin}: {section}: a section [{section}] was expected")
    for key in keys:
        if known is not None and key not in known:
            raise OperatorError(
                f"{origin}: there is no setting {section}.{key}{_did_you_mean(key, known)}"
            )


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    found = []
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        section, key = name.removeprefix(ENV_PREFIX).lower().split("__", 1)
        _check_names(section, {key: text}, origin=name)
        found.append((name, section, key, text))
    return found


def _parse_text(text: str, section: str, key: str) -> Any:
    """Read an environment value as TOML would, and as plain text where that isn't TOML."""
    kinds = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    kind = {f.name: f.type for f in msgspec.structs.fields(kinds[section])}.get(key)
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        pass
    else:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _did_you_mean(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"


def _name_setting(error: msgspec.ValidationError) -> str:
    """Turn msgspec's `… - at `$.kafka.group`` into `kafka.group: …`."""
    message, _, path = str(error).partition(" - at `$.")
    return f"{path.rstrip('`')}: {message}" if path else message
