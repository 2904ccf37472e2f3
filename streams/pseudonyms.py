"""Names that only the holder of a key can tell: accounts, addresses, pairs and links, hashed.

For operators who must not, or would rather not, keep customers' names where requests are judged:
whoever ships the requests replaces the names first, and the detector never sees others. The same
name always gives the same pseudonym, which is all that detection needs but for the order of pairs'
ids: who walks them is told by haste and rarity alone.

Keys are changed by adding one with the time from which it holds. The time that counts is the
event's own, so that every shipper changes over at the same event and a replay gives the same
pseudonyms again. Accounts begin anew at that moment: what was learned of them is lost, and nobody
can tie the two names together without both keys.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import msgspec

from models.request import Request
from streams.codec import InvalidRequest, parse_rfc3339
from streams.errors import OperatorError

#: A key a month for as long as anybody keeps decisions.
KEYS_MAX = 100
KEYS_FILE_BYTES_MAX = 64 * 1024
#: Shorter keys can be guessed by hashing the names of known customers with all of them; longer
#: ones BLAKE2b does not take.
KEY_BYTES_MIN, KEY_BYTES_MAX = 32, 64
#: 128 bits: two names of a billion billion share a pseudonym with a chance of one in a thousand.
_DIGEST_BYTES = 16
_KEY_ID = re.compile(r"[a-z0-9]{1,16}", re.ASCII)


class Key(msgspec.Struct, frozen=True):
    """A key, its name, and from which event time (Unix seconds) it holds."""

    since_s: float
    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(since_s={self.since_s}, key_id={self.key_id!r}, secret=hidden)"


def load_keys(path: str) -> tuple[Key, ...]:
    """Read keys from a file: lines of `since key_id key`, empty ones and `#` comments aside.

    `since` is an RFC 3339 time, `-` for a key that holds from the beginning.

    Raises
    ------
    OperatorError
        The file can't be read, or a line does not fit; no key is ever shown.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(KEYS_FILE_BYTES_MAX + 1).decode("utf-8-sig")
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path}: this is not UTF-8 text") from None
    if len(text) > KEYS_FILE_BYTES_MAX:
        raise OperatorError(f"{path}: a file of keys has at most {KEYS_FILE_BYTES_MAX} bytes")
    lines = enumerate(text.splitlines(), 1)
    keys = [_key(f"{path}:{n}", line) for n, line in lines if line.strip() and line[0] != "#"]
    if not 0 < len(keys) <= KEYS_MAX:
        raise OperatorError(f"{path}: expected 1 to {KEYS_MAX} keys, found {len(keys)}")
    for what in ("key_id", "since_s", "secret"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise OperatorError(f"{path}: two keys have the same {what}")
    return tuple(sorted(keys, key=attrgetter("since_s")))


def _key(where: str, line: str) -> Key:
    parts = line.split()
    if len(parts) != 3:
        raise OperatorError(f"{where}: expected three words, since, key_id and key")
    since, key_id, secret = parts
    try:
        since_s = float("-inf") if since == "-" else parse_rfc3339(since)
    except InvalidRequest as error:
        raise OperatorError(f"{where}: since: {error.detail.removeprefix('ts: ')}") from None
    if not _KEY_ID.fullmatch(key_id):
        raise OperatorError(f"{where}: key_id: expected 1 to 16 small letters and digits")
    if not KEY_BYTES_MIN <= len(secret.encode()) <= KEY_BYTES_MAX:
        raise OperatorError(f"{where}: key: expected {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")
    return Key(since_s, key_id, secret.encode())


class Pseudonyms:
    """Replaces names by keyed hashes (BLAKE2b, RFC 7693), each kind of name for itself.

    Parameters
    ----------
    keys
        In the order of their times, one or more.

    Examples
    --------
    >>> pseudonyms = Pseudonyms([Key(0.0, "k1", b"0123456789abcdef0123456789abcdef")])
    >>> pseudonyms.name("account", "acct_17", 1_709_409_600.0)
    'k1-ca75a3de019b2e478b9d3a29d17546b5'
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = list(keys)

    def name(self, kind: str, name: str, ts: float) -> str:
        """Return the pseudonym of a name at an event time (Unix seconds).

        Parameters
        ----------
        kind
            `account`, `pair`, `address`, or `link:` and the link's type: the same word as two
            kinds of name gives two pseudonyms.
        name
            Any text.
        ts
            Says which key holds; before the first one, that one does.
        """
        after = bisect_right(self._keys, ts, key=attrgetter("since_s"))
        key = self._keys[max(after - 1, 0)]
        # A length before the kind, so that no other kind and name make the same text.
        told = f"{len(kind)}:{kind}:{name}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(told, digest_size=_DIGEST_BYTES, key=key.secret).hexdigest()
        return f"{key.key_id}-{digest}"

    def request(self, request: Request) -> Request:
        """Return a request without names; what ties accounts together ties their pseudonyms."""
        ts = request.ts
        return msgspec.structs.replace(
            request,
            account_id=self.name("account", request.account_id, ts),
            owner_id=request.owner_id and self.name("account", request.owner_id, ts),
            pair_ids=[self.name("pair", pair, ts) for pair in request.pair_ids],
            ip=request.ip and self.name("address", request.ip, ts),
            links={
                kind: self.name(f"link:{kind}", value, ts) for kind, value in request.links.items()
            },
        )
