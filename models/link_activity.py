"""What one partition tells of an account to those who watch what accounts have in common."""

from __future__ import annotations

import contextlib
import math
from typing import Annotated, Final

import msgspec

from models.links import LINK_CHARS_MAX
from models.request import COUNT_MAX, Identifier

#: Version of the record on the wire.
VERSION: Final = 1
#: Chosen pairs of an account's day in a record: with seven bytes each it stays below a kilobyte,
#: and the overlap of two copiers who each take a thousand pairs still shows.
SAMPLE_MAX: Final = 96

#: Times from here on (the year 5138) are none.
_TIME_MAX_S = 1e11

_Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
_Hash32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Hours = Annotated[int, msgspec.Meta(ge=0, le=2**24 - 1)]
_Link = Annotated[str, msgspec.Meta(min_length=1, max_length=LINK_CHARS_MAX)]


class LinkActivityError(ValueError):
    """What was to be a record is none."""


class LinkActivityVersionError(LinkActivityError):
    """A record was written by a newer version than this one."""


class LinkActivity(msgspec.Struct, frozen=True, array_like=True):
    """One account's day so far, as seen from one of its links; cumulative, so that a later
    record replaces an earlier one and a repeated one changes nothing.

    Parameters
    ----------
    version
        `VERSION` of the code that wrote it.
    link
        `<link type>:<link value>`: a value of `links`, `range:<network>`,
        `client:<ja4>|<asn>`, or `manner:<how it goes about it>`.
    account_id
        The account.
    day
        Days since 1970 (UTC).
    at_s
        Event time of the request that caused it, Unix seconds.
    request_id
        That request's id.
    chosen
        Pairs of others that it chose today; coming straight back is not counted. A page turned
        without opening any of its pairs is one, that of the pair with the smallest hash.
    weight
        What these choices say for a copier by themselves, decibans.
    first_s
        Event time of its first choice today.
    hours
        The hours of the day (UTC) with a choice, a bit each.
    steps_up, steps
        How many of its choices came, by their ids, after the one before; and of how many.
    catalogue_size
        Pairs in the catalogue, as known in its partition.
    below
        The sample holds every chosen pair whose hash is at most this (32 bits).
    pairs
        The sample: hashes of pairs, ascending, four bytes each.
    evidence
        What each one's popularity said when it was chosen: tenths of a deciban, signed bytes;
        above zero a copier (`models.popularity`).
    owners
        Hash of each one's owner, two bytes; 0 is unknown.
    pages, shown
        How many of its choices were pages, and the pairs on these.
    """

    version: int
    link: _Link
    account_id: Identifier
    day: _Count
    at_s: float
    request_id: Identifier
    chosen: _Positive
    weight: float
    first_s: float
    hours: _Hours
    steps_up: _Count
    steps: _Count
    catalogue_size: _Positive
    below: _Hash32
    pairs: bytes
    evidence: bytes
    owners: bytes
    pages: _Count = 0
    shown: _Count = 0

    def to_bytes(self) -> bytes:
        """Encode the record: about a kilobyte at most, keyed by `link` on its topic."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> LinkActivity:
        """Decode a record.

        Raises
        ------
        LinkActivityVersionError
            It is newer than this code.
        LinkActivityError
            It is none.
        """
        try:
            activity = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _check_version(data)
            raise LinkActivityError(f"link activity: {error}") from None
        if activity.version > VERSION:
            raise LinkActivityVersionError(_NEWER.format(activity.version))
        first_s, at_s = activity.first_s, activity.at_s
        times = 0 <= first_s < _TIME_MAX_S and 0 <= at_s < _TIME_MAX_S
        if not (times and math.isfinite(activity.weight)):
            raise LinkActivityError(
                f"link activity of {activity.account_id}: weight {activity.weight}, times "
                f"{first_s}, {at_s}"
            )
        size = len(activity.evidence)
        if size > SAMPLE_MAX or (len(activity.pairs), len(activity.owners)) != (4 * size, 2 * size):
            raise LinkActivityError(
                f"link activity of {activity.account_id}: a sample of {size} pairs with "
                f"{len(activity.pairs)} bytes of hashes and {len(activity.owners)} of owners"
            )
        return activity


class _Version(msgspec.Struct, array_like=True):
    version: int


_NEWER = f"link activity of version {{}}; this pairwatch knows up to {VERSION}"
_decode = msgspec.msgpack.Decoder(LinkActivity).decode
_decode_version = msgspec.msgpack.Decoder(_Version).decode


def _check_version(data: bytes) -> None:
    """Refuse a record of a newer version, whose form may be another, with the right words."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        version = _decode_version(data).version
        if version > VERSION:
            raise LinkActivityVersionError(_NEWER.format(version))
