"""The traffic that is measured: a day of an image platform, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from models.request import Action, Request

ACCOUNTS = 20_000
CATALOGUE = 200_000
#: Two fifths of all requests come from the most active twentieth of the accounts.
_TAIL = 0.8
_TAIL_FLAT = 10
#: A day of a million events: 50 an account, in sessions of ten some 20 s apart.
_EVENTS_A_DAY = 1_000_000
_SESSION_EVENTS = 10
_GAP_S = 20.0
START_S = 1_709_251_200.0
_LIST_PAIRS = 40
_ACTIONS: tuple[tuple[Action, float], ...] = (
    ("view", 0.60),
    ("generate", 0.20),
    ("download", 0.10),
    ("search", 0.05),
    ("other", 0.04),
    ("list", 0.01),
)
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0 Safari/537"
)


class Event(NamedTuple):
    """One event as it goes over the wire."""

    account_id: str
    value: bytes


def events(
    count: int, seed: int = 1, accounts: int = ACCOUNTS, catalogue: int = CATALOGUE
) -> Iterator[Event]:
    """Make so many events in time order: 350 bytes on average, 1 % of them list pages of 40.

    Accounts are heavy-tailed, pairs follow their popularity, and time runs at a million events
    a day, whatever the count.
    """
    chance = np.random.default_rng(seed)
    ts, whose = _times(chance, count, accounts)
    actions = chance.choice(len(_ACTIONS), count, p=[share for _, share in _ACTIONS])
    ranks = (catalogue * chance.random(count) ** 3).astype(int)
    encode = msgspec.json.Encoder().encode
    for n in range(count):
        number, rank, action = int(whose[n]), int(ranks[n]), _ACTIONS[actions[n]][0]
        account_id, pairs = f"acct_{number:06d}", 1
        if action == "list":
            pairs = _LIST_PAIRS
        elif action in ("search", "other"):
            pairs = 0
        request = Request(
            ts=round(float(ts[n]), 3),
            request_id=f"req_{n:012x}{rank:08x}",
            account_id=account_id,
            action=action,
            pair_ids=[f"pair_{(rank + k) % catalogue:07d}" for k in range(pairs)],
            owner_id=account_id if action == "generate" else None,
            ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            user_agent=_AGENT,
            asn=64_500 + number % 7,
            links={"org": f"org-{number % 9_000}.example", "device": f"d_{number:06d}"},
            bytes=18_000 + rank % 1_000,
        )
        yield Event(account_id, encode(request))


def _times(chance: np.random.Generator, count: int, accounts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return event times (Unix seconds, rising) and the number of the account of each."""
    sessions = count // _SESSION_EVENTS + 1
    weights = (np.arange(accounts) + _TAIL_FLAT) ** -_TAIL
    who = chance.choice(accounts, sessions, p=weights / weights.sum())
    span_s = 86_400.0 * count / _EVENTS_A_DAY
    session = np.repeat(np.arange(sessions), _SESSION_EVENTS)
    ends = np.cumsum(chance.exponential(_GAP_S, session.size))
    begins = ends[session * _SESSION_EVENTS]
    ts = START_S + (chance.random(sessions) * span_s)[session] + ends - begins
    order = np.argsort(ts)[:count]
    return ts[order], who[session[order]]
