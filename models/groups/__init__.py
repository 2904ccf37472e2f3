"""Copiers who divide the work: what accounts that share a link do together."""

from models.groups.activities import Activities
from models.groups.groups import Groups, Judgement

__all__ = ["Activities", "Groups", "Judgement"]
