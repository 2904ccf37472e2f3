"""Whether a control message counts: signature, time, and whether it was said before."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple, NoReturn

from models.notices import Control, seconds
from streams import settings
from streams.control.messages import RefusedControl, canonical
from streams.control.signing import is_signed_with, load_keys

#: How far a message's own time may be from the time at which it reached Kafka. Signing and
#: sending take a second; the rest is for clocks that differ.
SKEW_S_MAX = 300.0
#: Of two messages sent at the same moment one may carry a time this much before the other's.
WINDOW_S = 2 * SKEW_S_MAX
#: Ids and nonces remembered for a key, at most, in about 30 MB. Within the window a program can
#: send 50,000 messages, as when the decisions about a large group are overturned one by one;
#: more are refused.
REMEMBERED_MAX = 100_000

#: `repeated` was accepted before, to the letter; taking it again must change nothing.
Outcome = Literal["accepted", "repeated"]
RefusalReason = Literal[
    "unsigned",
    "unknown-key",
    "bad-signature",
    "too-old",
    "too-far-ahead",
    "replayed",
    "too-many",
]


class _Said(NamedTuple):
    """What is remembered of an accepted message."""

    issued_s: float
    digest: bytes


class _Voice:
    """What has been said with one key (or without any) within the window."""

    def __init__(self) -> None:
        self.newest_s = float("-inf")
        #: By id and by nonce.
        self.said: dict[tuple[str, str], _Said] = {}

    @property
    def begin_s(self) -> float:
        """Before this, messages are too old to be told from repeats."""
        return self.newest_s - WINDOW_S

    def advance(self, issued_s: float) -> None:
        """Take note of a time that was signed, and forget what is now too old to come again."""
        self.newest_s = max(self.newest_s, issued_s)
        # In the order of arrival: one that carries a later time keeps those behind it a while.
        while self.said and self.said[oldest := next(iter(self.said))].issued_s < self.begin_s:
            del self.said[oldest]


class Verifier:
    """Checks control messages, in the order in which they stand in the log.

    Each answer follows from the settings and from what stands in the log before, never from the
    present moment: whoever reads the log from its beginning gets the same answers. So a worker
    that takes the control partition up at some offset makes a new verifier and hands it the
    messages before that offset first (`check`, answers ignored).

    Two times are held against a message's own:

    - that of the Kafka record. Whoever writes a record sets it, unless the topic is set to
      `message.timestamp.type=LogAppendTime`: then it is the broker's, and a message that was
      held back can't be sent later.
    - the newest that its key has signed. Nobody without the key can move that, forwards or
      backwards: messages of the `WINDOW_S` before it are remembered, and older ones refused, so
      that none counts twice whatever a record says. It is kept for each key, so that a key used
      by a machine whose clock was far ahead can be replaced by another.

    Parameters
    ----------
    told
        The section `control` of the settings; its keys are read here.

    Raises
    ------
    OperatorError
        The keys can't be read.
    """

    def __init__(self, told: settings.Control) -> None:
        self._keys = {key.key_id: key for key in load_keys(told)}
        self._accept_unsigned = told.accept_unsigned
        self._voices: dict[str | None, _Voice] = {}

    def check(self, message: Control, arrived_s: float) -> Outcome:
        """Say whether the message is new or a repeat.

        Parameters
        ----------
        message
            As decoded.
        arrived_s
            The timestamp of its Kafka record, Unix seconds.

        Raises
        ------
        RefusedControl
            It doesn't count; `reason` is a `RefusalReason`.
        """
        key_id = self._check_signature(message)
        issued_s = seconds(message.issued_at)
        if abs(issued_s - arrived_s) > SKEW_S_MAX:
            reason: RefusalReason = "too-old" if issued_s < arrived_s else "too-far-ahead"
            _refuse(
                reason,
                f"issued_at: {abs(issued_s - arrived_s):.0f} s from when it reached Kafka, over "
                f"{SKEW_S_MAX:.0f}; is the clock right?",
            )
        voice = self._voices.setdefault(key_id, _Voice())
        if issued_s < voice.begin_s:
            _refuse("too-old", f"issued_at: over {WINDOW_S:.0f} s before others of its key")
        digest = hashlib.sha256(canonical(message)).digest()
        known = [voice.said[name].digest for name in _names(message) if name in voice.said]
        if known:
            if any(each != digest for each in known):
                _refuse("replayed", "id or signature.nonce: used before in another message")
            return "repeated"
        voice.advance(issued_s)
        if len(voice.said) >= REMEMBERED_MAX:
            _refuse("too-many", f"{REMEMBERED_MAX // 2:,} messages in {WINDOW_S:.0f} s; wait")
        for name in _names(message):
            voice.said[name] = _Said(issued_s, digest)
        return "accepted"

    def _check_signature(self, message: Control) -> str | None:
        """Return the name of the key; none where unsigned messages are accepted."""
        signature = message.signature
        if signature is None:
            if not self._accept_unsigned:
                _refuse("unsigned", "signature: missing")
            return None
        key = self._keys.get(signature.key_id)
        if key is None:
            _refuse("unknown-key", f"signature.key_id: there is no key {signature.key_id}")
        if not is_signed_with(message, key):
            _refuse("bad-signature", f"signature.hmac: not made with the key {key.key_id}")
        return signature.key_id


def _names(message: Control) -> list[tuple[str, str]]:
    """Return what may be used once: the id, and the nonce where there is one."""
    names = [("id", message.id)]
    if message.signature is not None:
        names.append(("nonce", message.signature.nonce))
    return names


def _refuse(reason: RefusalReason, detail: str) -> NoReturn:
    raise RefusedControl(reason, detail)
