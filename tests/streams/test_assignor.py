"""Where partitions go when workers come, go and come back."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from streams.assignor import Share, place


def owned(shares: dict[str, Share]) -> dict[str, set[int]]:
    return {name: share.owned for name, share in shares.items()}


def history(seed: int, replicas: int) -> Iterator[tuple[dict[str, Share], dict[str, Share], int]]:
    """Yield what a group that changes all the time claims and gets, and of how many partitions."""
    chance = random.Random(seed)
    partitions = chance.choice((1, 2, 3, 6, 12, 24, 50))
    workers: dict[str, Share] = {}
    for number in range(25):
        name = f"{chance.randrange(1_000)}-{number}"
        step = chance.choice(("join", "join", "leave", "restart"))
        if step == "join" or not workers:
            workers[name] = Share(set(), set())
        elif step == "leave" and len(workers) > 1:
            del workers[chance.choice(sorted(workers))]
        elif step == "restart":  # it claims what is on its disk
            had = workers.pop(chance.choice(sorted(workers)))
            workers[name] = Share(set(), had.owned | had.copied)
        placed = place(workers, partitions, replicas)
        yield workers, placed, partitions
        workers = placed


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_every_partition_has_one_worker_and_its_copies_whatever_happens(replicas: int) -> None:
    for seed in range(60):
        for _, placed, partitions in history(seed, replicas):
            shares = placed.values()
            assert sorted(one for share in shares for one in share.owned) == [*range(partitions)]
            copies = min(replicas, len(placed) - 1)
            for one in range(partitions):
                assert sum(one in share.copied for share in shares) == copies
            assert all(not share.owned & share.copied for share in shares)
            sizes = [len(share.owned) for share in shares]
            assert max(sizes) - min(sizes) <= 1
            assert owned(place(placed, partitions, replicas)) == owned(placed), "it stays"


def test_a_dead_workers_partitions_go_where_their_copies_are() -> None:
    for count in (2, 3, 4, 6):
        to_copies = 0
        for seed in range(20):
            workers: dict[str, Share] = {}
            for number in range(count):
                workers[f"{random.Random(seed * 10 + number).random()}"] = Share(set(), set())
                workers = place(workers, 24, 1)
            dead = sorted(workers)[seed % count]
            lost = workers.pop(dead).owned
            placed = place(workers, 24, 1)
            to_copies += sum(
                one in workers[name].copied for name in placed for one in placed[name].owned & lost
            )
        assert to_copies >= 0.8 * 20 * 24 / count


def test_who_comes_back_gets_what_is_on_its_disk() -> None:
    both = place({"a": Share(set(), set()), "b": Share(set(), set())}, 12, 1)
    alone = place({"b": both["b"]}, 12, 1)
    again = place({"a-again": Share(set(), both["a"].owned), "b": alone["b"]}, 12, 1)
    assert again["a-again"].owned == both["a"].owned


def test_two_that_claim_the_same_do_not_both_get_it() -> None:
    placed = place({"a": Share({0, 1}, set()), "b": Share({0, 1}, set())}, 2, 0)
    assert sorted(one for share in placed.values() for one in share.owned) == [0, 1]
