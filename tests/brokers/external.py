"""Brokers that somebody else runs, named by PAIRWATCH_TEST_BROKERS."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class ExternalBroker:
    """Reaches brokers that tests may use but not stop."""

    bootstrap: str
    kind = "external"
    is_running = True

    def start(self) -> None:
        """Skip the test: what it is about can't be done here."""
        pytest.skip("brokers named by PAIRWATCH_TEST_BROKERS are not ours to stop")

    stop = kill = start
