"""Traefik access logs in JSON.

Source: Traefik, "Access logs", fields of the JSON format. `Duration` is in nanoseconds. Request
headers are there if `accessLog.fields.headers` keeps them.
"""

from __future__ import annotations

from streams.gateway.entry import (
    Fields,
    LogEntry,
    decode_records,
    integer,
    number,
    status,
    text,
    without_port,
)
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    took_ns = number(fields, "Duration")
    return LogEntry(
        ts=event_time_s(fields, "StartUTC", "StartLocal", "time"),
        method=text(fields, "RequestMethod") or "",
        target=text(fields, "RequestPath") or "",
        status=status(fields, "DownstreamStatus", "OriginStatus"),
        bytes=integer(fields, "DownstreamContentSize") or 0,
        duration_ms=None if took_ns is None else took_ns / 1e6,
        ip=text(fields, "ClientHost") or without_port(text(fields, "ClientAddr")),
        user_agent=text(fields, "request_User-Agent"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return the field of a request header, its name spelt as Go spells headers."""
    return (f"request_{'-'.join(part.capitalize() for part in name.split('-'))}",)


FORMAT = LogFormat(decode_records, entry, header_fields)
