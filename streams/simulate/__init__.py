"""Seeded, labelled traffic: honest customers of many kinds, and those who copy the catalogue."""

from streams.simulate.labels import Label
from streams.simulate.mix import INTENSITIES, MIXES
from streams.simulate.world import START_S, World, simulate

__all__ = ["INTENSITIES", "MIXES", "START_S", "Label", "World", "simulate"]
