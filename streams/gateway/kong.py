"""Kong Gateway's `file-log`, `http-log` and their like: one serializer serves them all.

Source: Kong's PDK, `kong.log.serialize`. A batching `http-log` writes arrays. The account, unless
told otherwise in `gateway.account_field` (`consumer.username`, `consumer.custom_id`, …), is the
client's address, as with every format.
"""

from __future__ import annotations

from streams.gateway.entry import Fields, LogEntry, decode_records, integer, number, status, text
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    return LogEntry(
        ts=event_time_s(fields, "started_at"),
        method=text(fields, "request.method") or "",
        target=text(fields, "request.uri", "request.url") or "",
        status=status(fields, "response.status"),
        bytes=integer(fields, "response.size") or 0,
        duration_ms=number(fields, "latencies.request"),
        ip=text(fields, "client_ip"),
        user_agent=text(fields, "request.headers.user-agent"),
        request_id=text(fields, "request.id"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return where a request header stands; Kong writes their names in lower case."""
    return (f"request.headers.{name.lower()}",)


FORMAT = LogFormat(decode_records, entry, header_fields)
