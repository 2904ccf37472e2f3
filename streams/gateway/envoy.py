"""Envoy access logs in JSON: the keys of Istio's and of Envoy Gateway's default `json_format`.

Source: Envoy, "Access logging" (command operators); Istio's mesh-wide default; Envoy Gateway's
`ProxyAccessLog` default. The client is `downstream_remote_address`, for which Envoy already weighs
`X-Forwarded-For` by the trusted hops it was told of. `x-request-id` is Envoy's: at the edge it
overwrites what a client sent.
"""

from __future__ import annotations

from streams.gateway.entry import (
    Fields,
    LogEntry,
    decode_records,
    integer,
    last_hop,
    number,
    status,
    text,
    without_port,
)
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    forwarded_for = text(fields, "x_forwarded_for", "x-forwarded-for")
    return LogEntry(
        ts=event_time_s(fields, "start_time"),
        method=text(fields, "method", ":method") or "",
        target=text(fields, "path", "x-envoy-origin-path", ":path") or "",
        status=status(fields, "response_code"),
        bytes=integer(fields, "bytes_sent") or 0,
        duration_ms=number(fields, "duration"),
        ip=without_port(text(fields, "downstream_remote_address")) or last_hop(forwarded_for),
        user_agent=text(fields, "user_agent", "user-agent"),
        request_id=text(fields, "request_id", "x_request_id", "x-request-id"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return the keys under which operators log a request header."""
    return (name.lower(), name.lower().replace("-", "_"), name)


FORMAT = LogFormat(decode_records, entry, header_fields)
