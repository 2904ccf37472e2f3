"""Cloudflare Logpush, data set `http_requests`.

Source: Cloudflare Logs, "HTTP requests" and "Log output options" (`timestamp_format`: `rfc3339`,
`unix` or `unixnano`). Request headers are there if they were chosen as custom fields.
"""

from __future__ import annotations

from streams.gateway.entry import Fields, LogEntry, decode_records, find, integer, status, text
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    started_s = event_time_s(fields, "EdgeStartTimestamp")
    ended = find(fields, "EdgeEndTimestamp") is not None
    return LogEntry(
        ts=started_s,
        method=text(fields, "ClientRequestMethod") or "",
        target=text(fields, "ClientRequestURI", "ClientRequestPath") or "",
        status=status(fields, "EdgeResponseStatus"),
        bytes=integer(fields, "EdgeResponseBytes") or 0,
        duration_ms=(event_time_s(fields, "EdgeEndTimestamp") - started_s) * 1_000
        if ended
        else None,
        ip=text(fields, "ClientIP"),
        user_agent=text(fields, "ClientRequestUserAgent"),
        ja4=text(fields, "JA4"),
        asn=integer(fields, "ClientASN"),
        request_id=text(fields, "RayID"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return where a request header chosen as a custom field stands."""
    return (f"RequestHeaders.{name.lower()}",)


FORMAT = LogFormat(decode_records, entry, header_fields)
