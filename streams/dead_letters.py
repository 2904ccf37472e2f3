"""Dead letters: what could not be taken, in one form for Kafka and for files."""

from __future__ import annotations

import base64

import msgspec
import orjson

from models.decision import rfc3339

#: What is kept of an original. Real requests are about 350 bytes and the largest honest one, a
#: list page of 1,000 pairs, some 40 KB: this holds them whole. In base64 it makes 87 KB, so the
#: value stays far below the 1 MB that brokers and producers take by default.
ORIGINAL_BYTES_MAX = 64 * 1024
#: A detail quotes its input at times, and a person reads one line of it.
DETAIL_CHARS_MAX = 500
#: The longest path that Linux takes.
FILE_CHARS_MAX = 4_096
#: The end of the year 9999, the last that RFC 3339 can write. A message's timestamp is its
#: producer's word, and no value of it may keep us from setting the message aside.
_AT_MAX_S = 253_402_300_799.0


class KafkaSource(msgspec.Struct, frozen=True):
    """Where the original stands in Kafka."""

    topic: str
    partition: int
    offset: int


class FileSource(msgspec.Struct, frozen=True):
    """Where the original stands in a file; lines count from 1."""

    file: str
    line: int


class DeadLetter(msgspec.Struct, frozen=True):
    """An original that did not fit, with the reason.

    Parameters
    ----------
    reason
        A code out of a small set, such as `bad-json`: metrics count by it.
    detail
        What exactly did not fit, for a person; cut at 500 characters when encoded.
    source
        Where the original stands.
    at_s
        When the original arrived, Unix seconds: the Kafka message's own timestamp, so that a
        repeat after a crash is the same to the byte; in a replay the moment it was read.
    original
        The bytes as they came, whole; empty for a Kafka message without a value.
    """

    reason: str
    detail: str
    source: KafkaSource | FileSource
    at_s: float
    original: bytes

    @property
    def key(self) -> bytes:
        """The Kafka key: the coordinates, so that a repeat after a crash can be recognised."""
        source = self.source
        if isinstance(source, KafkaSource):
            return f"{source.topic}:{source.partition}:{source.offset}".encode()
        return f"{_clean(source.file, FILE_CHARS_MAX)}:{source.line}".encode()

    def encode(self) -> bytes:
        """Return the JSON of the dead-letter schema, without a line feed in it."""
        source = self.source
        if isinstance(source, KafkaSource):
            place: dict[str, str | int] = {
                "topic": source.topic,
                "partition": source.partition,
                "offset": source.offset,
            }
        else:
            place = {"file": _clean(source.file, FILE_CHARS_MAX), "line": source.line}
        return orjson.dumps(
            {
                "reason": self.reason,
                "detail": _clean(self.detail, DETAIL_CHARS_MAX),
                "source": place,
                "at": rfc3339(min(max(self.at_s, 0.0), _AT_MAX_S)),
                "size_bytes": len(self.original),
                "truncated": len(self.original) > ORIGINAL_BYTES_MAX,
                "original_base64": base64.b64encode(self.original[:ORIGINAL_BYTES_MAX]).decode(),
            }
        )


def _clean(text: str, chars_max: int) -> str:
    """Cut, and replace what UTF-8 can't carry: a file name may hold bytes that are no text."""
    return text[:chars_max].encode("utf-8", "replace").decode()
