"""In which partition each account was seen, to notice a key that is not the account's."""

from __future__ import annotations

from collections.abc import Sequence

from models.request import Request

#: Accounts remembered (about 10 MB) before it starts over: a wrong key strews most accounts over
#: all partitions, so that some of them give it away at any time.
ACCOUNTS_MAX = 100_000


class Homes:
    """Counts events of accounts that this worker has seen in another partition before."""

    def __init__(self) -> None:
        self._partitions: dict[str, int] = {}

    def misrouted(self, requests: Sequence[Request], partition: int) -> int:
        """Take note of requests of a partition; return how many belong to another one.

        >>> view = lambda account: Request(1e9, "r", account, "view")
        >>> homes = Homes()
        >>> homes.misrouted([view("ann"), view("bob")], 0)
        0
        >>> homes.misrouted([view("bob"), view("bob"), view("eve")], 1)
        2
        """
        known, accounts = self._partitions, {request.account_id for request in requests}
        strays = {a for a in accounts if known.setdefault(a, partition) != partition}
        count = sum(request.account_id in strays for request in requests) if strays else 0
        if len(known) > ACCOUNTS_MAX:
            known.clear()
        return count
