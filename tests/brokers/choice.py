"""What every test broker offers, and settings for a test on any of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streams.embedded import free_port
from streams.settings import Kafka, Metrics, Scenario, Settings, State, Topics


class Broker(Protocol):
    """What a test may ask of the broker it was given."""

    @property
    def kind(self) -> str:
        """`embedded`, `kafka` or `external`."""
        ...

    @property
    def bootstrap(self) -> str:
        """Addresses for `kafka.brokers`."""
        ...


@dataclass(frozen=True)
class EmbeddedBroker:
    """The broker that `pairwatch demo` brings along."""

    bootstrap: str
    kind = "embedded"


def settings_for(broker: Broker, tmp_path: Path) -> Settings:
    """Return settings for `broker` with names, state and a metrics port of their own."""
    name = f"t{uuid.uuid4().hex[:12]}"
    return Settings(
        kafka=Kafka(
            brokers=broker.bootstrap,
            group=name,
            session_timeout_s=6.0,
            # The embedded broker waits this long whenever a group forms.
            rebalance_timeout_s=2.0 if broker.kind == "embedded" else 10.0,
        ),
        topics=Topics(
            requests=f"{name}.requests",
            requests_by_account=f"{name}.requests.by-account",
            decisions=f"{name}.decisions",
            dead_letters=f"{name}.dead-letters",
            control=f"{name}.control",
            notices=f"{name}.notices",
            link_activity=f"{name}.link-activity",
            partitions=2,
        ),
        state=State(directory=str(tmp_path / "state")),
        metrics=Metrics(listen=f"127.0.0.1:{free_port()}"),
        # When partitions hear of groups is a matter of timing: tests about them switch it on.
        scenarios={"coordinated-sweep": Scenario("off")},
    )
