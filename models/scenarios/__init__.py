"""Named behaviours: which signals speak for each, one file a scenario.

To add one: write its file beside these and put it into `SCENARIOS`.
"""

from __future__ import annotations

from models.scenarios import (
    catalogue_sweep,
    coordinated_sweep,
    page_harvest,
    request_flood,
    slow_drip,
)
from models.scenarios.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    catalogue_sweep.SCENARIO,
    page_harvest.SCENARIO,
    request_flood.SCENARIO,
    slow_drip.SCENARIO,
    coordinated_sweep.SCENARIO,
)

__all__ = ["SCENARIOS", "Scenario"]
