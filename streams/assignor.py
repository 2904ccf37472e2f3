"""Which worker has which partition: evenly, and where its state is.

Faust's own placement sends every second partition of a dead worker past the worker that holds the
copy of its state, and knows nothing of what a worker that comes back has on its disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

from faust.assignor import partition_assignor
from faust.assignor.client_assignment import ClientAssignment, CopartitionedAssignment


class Share(NamedTuple):
    """A worker's partitions: those it works on, and those of which it keeps a copy."""

    owned: set[int]
    copied: set[int]


def place(workers: Mapping[str, Share], partitions: int, replicas: int) -> dict[str, Share]:
    """Share partitions out, so that as few as can be go to a worker without their state.

    The same claims give the same placement, and what it gives is kept as it is.

    Parameters
    ----------
    workers
        What each one claims: it owns, or has a copy. Two may claim to own the same.
    partitions
        How many there are; claims of others count for nothing.
    replicas
        Copies of each, on workers that don't own it; fewer where there are fewer workers.

    Examples
    --------
    >>> both = {"a": Share({0, 1}, {2, 3}), "b": Share({2, 3}, {0, 1})}
    >>> place(both, 4, 1) == both
    True
    >>> place({"b": both["b"]}, 4, 1)
    {'b': Share(owned={0, 1, 2, 3}, copied=set())}
    """
    owned = _owned(workers, partitions)
    return {
        name: Share(owned[name], copied)
        for name, copied in _copied(workers, owned, min(replicas, len(workers) - 1)).items()
    }


def _owned(workers: Mapping[str, Share], partitions: int) -> dict[str, set[int]]:
    """Return whose each partition is."""
    names = sorted(workers)
    least, more = divmod(partitions, len(names))
    free = set(range(partitions))
    orphans = free.difference(*(share.owned for share in workers.values()))

    def wealth(name: str) -> tuple[int, int, str]:
        owned, copied = workers[name]
        return -len(owned), -len(copied & orphans), name

    # Who has most may have one more than the others.
    rich = sorted(names, key=wealth)[:more]
    room = {name: least + (name in rich) for name in names}
    owned: dict[str, set[int]] = {name: set() for name in names}
    for name in names:
        # What others have a copy of can best be let go of.
        mine = sorted(
            workers[name].owned & free,
            key=lambda one: (any(one in workers[other].copied for other in names), one),
        )
        owned[name] = set(mine[: room[name]])
        free -= owned[name]
    holders = {
        one: [name for name in names if one in workers[name].copied or one in workers[name].owned]
        for one in range(partitions)
    }
    for one in sorted(free, key=lambda one: (len(holders[one]), one)):
        if _give(one, holders, owned, room):
            free.discard(one)
    for one in sorted(free):
        owned[max(names, key=lambda name: (room[name] - len(owned[name]), name))].add(one)
    return owned


def _give(
    one: int,
    holders: Mapping[int, Collection[str]],
    owned: Mapping[str, set[int]],
    room: Mapping[str, int],
) -> bool:
    """Give a partition to a worker that has its state; `False` if that can't be.

    Where those are full, one of them passes another on to one who has the state of that, and so
    on: the shortest such chain (augmenting paths; Kuhn 1955).
    """
    came: dict[str, tuple[int, str | None]] = dict.fromkeys(holders[one], (one, None))
    ahead = list(came)
    for name in ahead:
        if len(owned[name]) < room[name]:
            at: str | None = name
            while at is not None:
                gets, before = came[at]
                owned[at].add(gets)
                if before is not None:
                    owned[before].discard(gets)
                at = before
            return True
        for other in sorted(owned[name]):
            for holder in holders[other]:
                if holder not in came:
                    came[holder] = other, name
                    ahead.append(holder)
    return False


def _copied(
    workers: Mapping[str, Share], owned: Mapping[str, set[int]], replicas: int
) -> dict[str, set[int]]:
    """Return who keeps copies of which: those who have them, else evenly over the owner's peers."""
    copied: dict[str, set[int]] = {name: set() for name in owned}
    # By owner and keeper: a dead worker's partitions shall not all go to one.
    of_owner: dict[tuple[str, str], int] = defaultdict(int)
    most = -(-sum(map(len, owned.values())) * replicas // len(owned))
    for owner, partitions in owned.items():
        peers = [name for name in owned if name != owner]
        for one in sorted(partitions):

            def cost(name: str, one: int = one, owner: str = owner) -> tuple[bool, bool, int, int]:
                has = one in workers[name].copied or one in workers[name].owned
                is_full = len(copied[name]) >= most
                return is_full, not has, of_owner[owner, name], len(copied[name])

            for name in sorted(sorted(peers), key=cost)[:replicas]:
                copied[name].add(one)
                of_owner[owner, name] += 1
    return copied


class _Placement:
    """`place` in the form in which Faust asks for it, for topics with as many partitions."""

    def __init__(
        self,
        topics: Iterable[str],
        cluster_asgn: MutableMapping[str, CopartitionedAssignment],
        num_partitions: int,
        replicas: int,
    ) -> None:
        self._topics = set(topics)
        claims = {name: Share(one.actives, one.standbys) for name, one in cluster_asgn.items()}
        self._shares = place(claims, num_partitions, replicas)

    def get_assignment(self) -> dict[str, CopartitionedAssignment]:
        return {
            name: CopartitionedAssignment(share.owned, share.copied, self._topics)
            for name, share in self._shares.items()
        }


# Faust has no setting for it.
partition_assignor.CopartitionedAssignor = _Placement


class Assignor(partition_assignor.PartitionAssignor):  # type: ignore[misc]
    """Faust's assignor with that placement; who joins claims what is on its disk."""

    _assignment: ClientAssignment

    def metadata(self, topics: set[str]) -> Any:
        """Return what this worker tells the group's leader."""
        if not self._assignment.actives and not self._assignment.standbys:
            table = self.app.table
            on_disk = {table.changelog_topic.get_topic_name(): table.partitions_on_disk()}
            self._assignment = ClientAssignment(actives={}, standbys=on_disk)
        return super().metadata(topics)
