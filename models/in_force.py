"""What one partition has in force, when it ends, and of whom nothing is in force any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Subjects with a decision in force that one partition keeps in mind: 400 KB. Those beyond it run
#: out by themselves, as every decision says when.
IN_FORCE_MAX = 10_000


class InForce:
    """The ends of decisions, by the key of their subject (`account:…`, `group:…`).

    Parameters
    ----------
    ends_s
        When what is in force ends, Unix seconds.
    lifted
        Subjects of whom nothing is in force any more since a decision said so.
    """

    def __init__(
        self, ends_s: Mapping[str, float] | None = None, lifted: Iterable[str] = ()
    ) -> None:
        self.ends_s = dict(ends_s or {})
        self.lifted = dict.fromkeys(lifted)
        self._next_end_s = min(self.ends_s.values(), default=float("inf"))

    def __contains__(self, key: str) -> bool:
        """Whether something was put in force for a subject and its end was not taken yet."""
        return key in self.ends_s

    def hold(self, key: str, end_s: float) -> None:
        """Keep in mind when a decision ends, Unix seconds."""
        self.lifted.pop(key, None)
        if len(self.ends_s) < IN_FORCE_MAX or key in self.ends_s:
            self.ends_s[key] = end_s
            self._next_end_s = min(self._next_end_s, end_s)

    def lift(self, key: str) -> None:
        """Keep in mind that a decision said that nothing is in force any more."""
        self.ends_s.pop(key, None)
        self.lifted[key] = None

    def of(self, scope: str) -> list[str]:
        """Return the values of a scope (`account`, `group`) for which something is in force."""
        keys = (key.partition(":") for key in self.ends_s)
        return [value for kind, _, value in keys if kind == scope]

    def take_lifted(self) -> list[str]:
        """Return the keys of those for whom what was in force has been lifted, each once.

        Call it once a snapshot is durable that they are in: from then on nobody can repeat the
        decision that was lifted, and it need not be known any longer that it was.
        """
        lifted, self.lifted = list(self.lifted), {}
        return lifted

    def take_ended(self, now_s: float) -> list[str]:
        """Return the keys of those whose decision has run out by event time, each once."""
        if now_s < self._next_end_s:
            return []
        ended = [key for key, end_s in self.ends_s.items() if end_s <= now_s]
        for key in ended:
            del self.ends_s[key]
        self._next_end_s = min(self.ends_s.values(), default=float("inf"))
        return ended
