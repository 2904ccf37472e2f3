"""nginx access logs in JSON, from a `log_format … escape=json`.

nginx has no field names of its own here: each operator writes some. Read are nginx's own variable
names (`ngx_http_core_module`, `ngx_http_log_module`) and the names that are common beside them.
Further names serve as `gateway.account_field`.
"""

from __future__ import annotations

from streams.gateway.entry import Fields, LogEntry, decode_records, integer, number, status, text
from streams.gateway.format import LogFormat
from streams.gateway.text import request_line
from streams.gateway.times import event_time_s

# Those with milliseconds first.
_TIMES = ("msec", "time_iso8601", "@timestamp", "timestamp", "time", "time_local", "ts")
# `uri` last: nginx rewrites it, `request_uri` is what the client asked for.
_TARGETS = ("request_uri", "url", "path", "request_path", "uri")


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    method, target = request_line(text(fields, "request") or "")
    took_s = number(fields, "request_time", "duration_s")
    return LogEntry(
        ts=event_time_s(fields, *_TIMES),
        method=text(fields, "request_method", "method", "verb") or method,
        target=text(fields, *_TARGETS) or target,
        status=status(fields, "status", "response", "response_code"),
        bytes=integer(fields, "body_bytes_sent", "bytes_sent", "bytes", "size") or 0,
        duration_ms=None if took_s is None else took_s * 1_000,
        ip=text(fields, "remote_addr", "client_ip", "clientip", "client", "remote_ip"),
        user_agent=text(fields, "http_user_agent", "user_agent", "agent"),
        ja4=text(fields, "ja4", "ssl_ja4", "http_ssl_ja4"),
        asn=integer(fields, "asn", "geoip2_asn"),
        request_id=text(fields, "request_id", "req_id"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return the names under which nginx operators log a request header."""
    variable = name.lower().replace("-", "_")
    return (f"http_{variable}", variable, name)


FORMAT = LogFormat(decode_records, entry, header_fields)
