"""Whatever partitions are told by one another: it is taken in, or refused as what it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
import pytest

from models.config import DetectionConfig
from models.detector import Detector
from models.link_activity import LinkActivity, LinkActivityError, LinkActivityVersionError
from models.population_state import DigestError
from streams import notices
from streams.schemas import load
from tests.fuzz.conftest import Feed
from tests.fuzz.mutations import mutations
from tests.integration.workers import traffic


@cache
def told() -> tuple[list[bytes], list[bytes]]:
    """Return what a partition tells the others of its population, and of links."""
    detector = Detector(DetectionConfig(), "1", "t", 0, lambda _: None)
    requests = [
        msgspec.structs.replace(request, links={"org": f"org {n % 3}"})
        for n, request in enumerate(traffic())
    ]
    digests, activities, at = [], [], 0
    while at < len(requests):
        seen = detector.observe(requests[at:], range(at, len(requests)))
        digests += [digest.learned for digest in seen.digests]
        activities += [activity.to_bytes() for activity in seen.activities]
        at += seen.taken
    return [digest for digest in digests if digest], activities


def take_digest(data: bytes) -> None:
    population = Detector(DetectionConfig(), "1", "t", 0, lambda _: None).population
    try:
        population.merge(data)
    except DigestError:
        return


def take_activity(data: bytes) -> None:
    try:
        activity = LinkActivity.from_bytes(data)
    except (LinkActivityError, LinkActivityVersionError):
        return
    assert LinkActivity.from_bytes(activity.to_bytes()) == activity


def take_notice(data: bytes) -> None:
    try:
        notices._read(data)
    except ValueError:
        return


TAKERS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]], int]] = {
    # Each population takes megabytes.
    "digest": (take_digest, lambda: told()[0], 20),
    "link activity": (take_activity, lambda: told()[1], 1),
    "notice": (
        take_notice,
        lambda: [msgspec.json.encode(example) for example in load("control")["examples"]],
        1,
    ),
}


@pytest.mark.parametrize("name", TAKERS)
def test_any_telling_is_taken_in_or_refused(feed: Feed, inputs: int, name: str) -> None:
    take, samples, costs = TAKERS[name]
    assert samples()
    feed(take, mutations(samples(), inputs // costs, name))
