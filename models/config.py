"""What the models are told by the operator: budgets and the catalogue, not thresholds."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Mode = Literal["shadow", "enforce"]
ScenarioMode = Literal["off", "shadow", "enforce"]


class DetectionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's part in detection.

    Parameters
    ----------
    mode
        `shadow`: decisions carry `simulated: true` and nobody acts on them.
    false_throttles_per_1000_account_days, false_bans_per_100000_account_days
        The false-alarm budgets that calibration spends; above 0.
    catalogue_size
        Pairs in the catalogue; `None` estimates it from the stream.
    scenarios
        A scenario's own mode where it differs from the service's.
    blast_radius_share
        Accounts that may be hit within an hour, as a share (0–1) of those active in a partition;
        beyond it decisions are simulated until a person says otherwise.
    """

    mode: Mode = "shadow"
    false_throttles_per_1000_account_days: float = 1.0
    false_bans_per_100000_account_days: float = 1.0
    catalogue_size: int | None = None
    scenarios: dict[str, ScenarioMode] = {}
    blast_radius_share: float = 0.1

    def config_hash(self) -> str:
        """Name this configuration in a decision: 16 hex digits of its canonical form.

        What only says whether decisions are meant is left out: shadow and enforce decide alike,
        so their ids agree.
        """
        told = msgspec.structs.replace(self, mode="shadow", blast_radius_share=1.0)
        canonical = msgspec.json.encode(told, order="sorted")
        return hashlib.blake2b(canonical, digest_size=8).hexdigest()
