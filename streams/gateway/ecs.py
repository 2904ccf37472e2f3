"""Elastic Common Schema, as Filebeat, Elastic Agent and ECS loggers write it.

Source: ECS field reference (HTTP, URL, event, client, source, user agent). Nested and dotted names
are read alike. `event.duration` is in nanoseconds.
"""

from __future__ import annotations

from streams.gateway.entry import Fields, LogEntry, decode_records, integer, number, status, text
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    took_ns = number(fields, "event.duration")
    return LogEntry(
        ts=event_time_s(fields, "@timestamp"),
        method=text(fields, "http.request.method") or "",
        target=text(fields, "url.path", "url.original", "url.full") or "",
        status=status(fields, "http.response.status_code"),
        bytes=integer(fields, "http.response.body.bytes", "http.response.bytes") or 0,
        duration_ms=None if took_ns is None else took_ns / 1e6,
        ip=text(fields, "client.ip", "source.ip", "client.address", "source.address"),
        user_agent=text(fields, "user_agent.original"),
        asn=integer(fields, "client.as.number", "source.as.number"),
        # The event's own id first: a request's may be one that the client sent.
        request_id=text(fields, "event.id", "http.request.id"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return where request headers stand; ECS leaves them to custom fields of this shape."""
    return (f"http.request.headers.{name.lower()}", f"http.request.headers.{name}")


FORMAT = LogFormat(decode_records, entry, header_fields)
