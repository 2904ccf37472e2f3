"""Every setting there is, and the one place that reads them.

A TOML file and the environment (`PAIRWATCH_<SECTION>__<KEY>`, which wins) become one frozen
`Settings`. Whatever does not exist or does not fit is refused by name before anything starts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from models.config import DetectionConfig, Mode, ScenarioMode
from models.request import Action
from models.scenarios import SCENARIOS
from streams.settings_reader import Secret, read

ENV_PREFIX = "PAIRWATCH_"
ENV_CONFIG = "PAIRWATCH_CONFIG"

PositiveInt = Annotated[int, msgspec.Meta(gt=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
_NAME = "letters, digits, dots, dashes and underscores"
#: Kafka allows 249 characters for a topic: six are kept for `.state`, fewer suffice for a group.
TopicName = Annotated[
    str, msgspec.Meta(pattern=r"^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,243}$", description=_NAME)
]
GroupName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,200}$", description=_NAME)]
_COORDINATES = r"[a-zA-Z0-9._-]{1,249}:\d{1,5}:\d{1,18}"
Coordinates = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^{_COORDINATES}(,{_COORDINATES}){{0,99}}$",
        description="topic:partition:offset, further ones after commas",
    ),
]
_ADDRESS = r"(\[[0-9a-fA-F:.]+\]|[^:,\s\[\]]+):\d{1,5}"
Listen = Annotated[
    str, msgspec.Meta(pattern=f"^{_ADDRESS}$", description="host:port, an IPv6 host in brackets")
]
Brokers = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^{_ADDRESS}(,{_ADDRESS}){{0,99}}$",
        description="host:port, further ones after commas",
    ),
]


class Kafka(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach Kafka."""

    brokers: Brokers = "127.0.0.1:9092"
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    group: GroupName = "pairwatch"
    #: Static membership: a worker that comes back under its own name costs no rebalance.
    instance_id: str | None = None
    session_timeout_s: PositiveFloat = 45.0
    rebalance_timeout_s: PositiveFloat = 60.0
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: Secret | None = None
    #: Read anew by every client that starts, so that a rotated secret needs no new settings.
    sasl_password_file: str | None = None
    #: For OAUTHBEARER, in place of a name and a password; read anew at every connection, so that
    #: whoever fetches tokens need only replace the file in time.
    sasl_token_file: str | None = None
    #: Without TLS whoever listens on the way reads the password, or can guess at it at leisure.
    allow_plaintext_sasl: bool = False
    #: Authorities to trust, PEM; unset takes the system's.
    ssl_cafile: str | None = None
    #: The client's own certificate and key, PEM, where the brokers ask for one.
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: Secret | None = None
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        uses_sasl, uses_ssl = self.security.startswith("SASL"), self.security.endswith("SSL")
        if uses_sasl:
            self._check_sasl()
        if uses_sasl and not uses_ssl and not self.allow_plaintext_sasl:
            raise ValueError(
                "kafka.security = SASL_PLAINTEXT sends credentials without encryption; "
                "use SASL_SSL, or set kafka.allow_plaintext_sasl = true"
            )
        for prefix, used in (("sasl_", uses_sasl), ("ssl_", uses_ssl)):
            for field in self.__struct_fields__:
                is_set = field.startswith(prefix) and getattr(self, field) not in (None, True)
                if is_set and not used:
                    raise ValueError(
                        f"kafka.{field} is set, but kafka.security = {self.security} ignores it"
                    )
        if self.ssl_certfile is None and (self.ssl_keyfile or self.ssl_key_password):
            raise ValueError("kafka.ssl_certfile must be set beside the client's key")

    def _check_sasl(self) -> None:
        why = f"as kafka.security = {self.security}"
        if self.sasl_mechanism is None:
            raise ValueError(f"kafka.sasl_mechanism must be set, {why}")
        if self.sasl_mechanism == "OAUTHBEARER":
            if self.sasl_token_file is None:
                raise ValueError("kafka.sasl_token_file must be set for OAUTHBEARER")
            for name in ("sasl_username", "sasl_password", "sasl_password_file"):
                if getattr(self, name) is not None:
                    raise ValueError(f"kafka.{name} is set, but OAUTHBEARER ignores it")
            return
        if self.sasl_token_file is not None:
            raise ValueError(f"kafka.sasl_token_file is set, but {self.sasl_mechanism} ignores it")
        if self.sasl_username is None:
            raise ValueError(f"kafka.sasl_username must be set, {why}")
        if (self.sasl_password is None) == (self.sasl_password_file is None):
            raise ValueError(
                f"one of kafka.sasl_password and kafka.sasl_password_file must be set, {why}"
            )


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names and shapes of the topics."""

    requests: TopicName = "gateway.requests"
    requests_by_account: TopicName = "pairwatch.requests.by-account"
    decisions: TopicName = "pairwatch.decisions"
    dead_letters: TopicName = "pairwatch.dead-letters"
    control: TopicName = "pairwatch.control"
    notices: TopicName = "pairwatch.notices"
    link_activity: TopicName = "pairwatch.link-activity"
    keyed_by_account: bool = False
    partitions: Partitions = 12
    #: Unset: three, or as many as there are brokers.
    replication: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None

    def __post_init__(self) -> None:
        names = {
            "topics.requests": self.requests,
            "topics.requests_by_account": self.requests_by_account,
            "topics.decisions": self.decisions,
            "topics.decisions with .state": self.decisions_state,
            "topics.dead_letters": self.dead_letters,
            "topics.control": self.control,
            "topics.notices": self.notices,
            "topics.link_activity": self.link_activity,
        }
        settings: dict[str, str] = {}
        for setting, name in names.items():
            if name in settings:
                raise ValueError(f"{settings[name]} and {setting} are one topic, {name}")
            settings[name] = setting

    @property
    def decisions_state(self) -> str:
        """The compacted topic with the decision now in force for each subject."""
        return f"{self.decisions}.state"

    @property
    def accounts_source(self) -> str:
        """The topic in which all of an account's events meet in one partition."""
        return self.requests if self.keyed_by_account else self.requests_by_account

    @property
    def logs(self) -> Logs:
        """The topics whose partitions of one number belong together."""
        return Logs(self.accounts_source, self.link_activity, self.notices)


class Logs(NamedTuple):
    """The topics whose partitions of one number belong together."""

    requests: str
    link_activity: str
    notices: str


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a worker keeps its tables, and how often it makes them durable."""

    directory: str = "./pairwatch-data"
    #: Four times as long while a partition catches up.
    checkpoint_interval_s: PositiveFloat = 1.0
    #: Live profiles at most; the rest wait on disk, and new ones for a checkpoint if need be.
    accounts_in_memory_max: PositiveInt = 200_000
    #: Other workers that keep a copy of each partition's state on their disks, from its changelog,
    #: so that one of them goes on at once where a worker dies. Each costs as much again to read and
    #: to keep; with a million accounts it saves half a minute, which most services have.
    standby_replicas: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where `/metrics`, `/live` and `/ready` are served."""

    listen: Listen = "127.0.0.1:9464"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether decisions are meant, and how many false ones the operator will bear."""

    mode: Mode = "shadow"
    false_throttles_per_1000_account_days: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 1.0
    false_bans_per_100000_account_days: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 1.0
    #: Accounts that may be hit within an hour, as a share of those active: an attack is a few
    #: accounts in a hundred, a broken upstream looks like all of them.
    blast_radius_share: Share = 0.1


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose word on the control topic counts."""

    #: The key with which control messages are signed, 32 characters or more, and its name.
    key_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "default"
    key: Secret | None = None
    #: Lines of `key_id key`: the first signs, all are accepted, so that keys can be changed
    #: without a gap. Read anew by every worker and command that starts.
    keys_file: str | None = None
    #: Whoever can write to the topic steers the service.
    accept_unsigned: bool = False

    def __post_init__(self) -> None:
        if self.key is not None and self.keys_file is not None:
            raise ValueError("control.key and control.keys_file are both set; one of them will do")


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the catalogue; unset is estimated from the stream."""

    size: PositiveInt | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that protect the worker from a broken upstream."""

    #: More than this and the worker reports itself not ready: the upstream is broken.
    dead_letters_per_minute: PositiveInt = 600
    #: Requests that a partition may be behind, with its part of those that are still to be keyed by
    #: account, before only the number is judged of what an account sends beyond one a second: about
    #: twenty seconds' worth of a whole core. 0: judge all in full, however long it takes.
    full_detail_lag_events: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    #: Messages that are not judged but set aside, on the record: a bug that one brings out need
    #: not hold up a partition until it is mended. The log that tells of the bug names them.
    skip_offsets: Coordinates | None = None


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

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"{self.path!r} is not a regular expression: {error}") from None


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
    control: Control = Control()
    catalogue: Catalogue = Catalogue()
    limits: Limits = Limits()
    gateway: Gateway = Gateway()
    scenarios: dict[str, Scenario] = {}

    def __post_init__(self) -> None:
        known = [scenario.name for scenario in SCENARIOS]
        for name in self.scenarios:
            if name not in known:
                raise ValueError(
                    f"there is no scenario {name} for [scenarios.{name}]; "
                    f"there are: {', '.join(known)}"
                )

    def detection(self) -> DetectionConfig:
        """Return what the models need to know."""
        return DetectionConfig(
            mode=self.policy.mode,
            false_throttles_per_1000_account_days=self.policy.false_throttles_per_1000_account_days,
            false_bans_per_100000_account_days=self.policy.false_bans_per_100000_account_days,
            catalogue_size=self.catalogue.size,
            scenarios={name: scenario.mode for name, scenario in self.scenarios.items()},
            blast_radius_share=self.policy.blast_radius_share,
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
    return read(Settings, path or environ.get(ENV_CONFIG) or None, environ, ENV_PREFIX)
