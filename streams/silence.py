"""Telling an operator why nothing happens: the group's broker does not answer.

aiokafka waits for an answer without a word, and says something only if the session has run out by
the time there is one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

log = logging.getLogger("pairwatch")

#: A heartbeat is answered within milliseconds, and a broker that is busy within a second.
_PATIENCE_S = 5.0


def tell_of_silence(coordinator: Any) -> None:
    """Have it logged when a heartbeat is not answered, and when one is again.

    Parameters
    ----------
    coordinator
        aiokafka's, which has not joined yet.
    """
    heartbeat = coordinator._do_heartbeat
    since_s: float | None = None

    def tell() -> None:
        nonlocal since_s
        if since_s is None:
            since_s = time.monotonic() - _PATIENCE_S
            log.warning(
                "the broker of the group %s has not answered for %.0f s: waiting, with what has "
                "been read; without an answer the group gives the partitions to others",
                coordinator.group_id,
                _PATIENCE_S,
            )

    async def heartbeat_or_tell() -> bool:
        nonlocal since_s
        overdue = asyncio.get_running_loop().call_later(_PATIENCE_S, tell)
        try:
            is_member = bool(await heartbeat())
        finally:
            overdue.cancel()
        if since_s is not None and is_member:
            log.info("the broker answers again, after %.0f s", time.monotonic() - since_s)
            since_s = None
        return is_member

    coordinator._do_heartbeat = heartbeat_or_tell
