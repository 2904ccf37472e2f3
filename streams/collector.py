"""Python's cycle collector, set for a process that holds many live objects and makes no cycles."""

from __future__ import annotations

import gc

#: Objects made and not yet freed before the collector looks through them: several polls' worth,
#: since of a poll's 8,192 records each is a dozen, of which hardly any is part of a cycle. What an
#: exception leaves behind waits no longer than this.
YOUNG_OBJECTS_MAX = 400_000
#: Rounds over the young before one over the middle-aged, and of those before one over everything:
#: the profiles in memory are millions of objects, and a walk through them stops all else.
_ROUNDS = (20, 100)


def spare_the_living() -> None:
    """Look for cycles less often than Python does by itself.

    With Python's own threshold of 700 the collector runs at every batch and takes a tenth to a
    quarter of an event's time, more the more profiles are in memory.
    """
    gc.set_threshold(YOUNG_OBJECTS_MAX, *_ROUNDS)
