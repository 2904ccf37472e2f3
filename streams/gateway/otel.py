"""OpenTelemetry logs: OTLP in JSON, and flat records with the same attributes.

Source: OTLP 1.x JSON encoding and the collector's file exporter (one export request a line, so a
line may hold thousands of records); semantic conventions for HTTP, stable names first and the
former ones after them. A flat record has its attributes at the top or under `attributes`. The
resource's attributes are found below the record's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams.codec import InvalidRequest
from streams.gateway.entry import Fields, LogEntry, decode_records, integer, number, status, text
from streams.gateway.format import LogFormat
from streams.gateway.times import event_time_s

#: The collector's batch processor sends 8,192 records at once by default; this leaves 2 KB each.
LINE_BYTES_MAX = 16 * 2**20

_TIMES = (
    "timeUnixNano",
    "time_unix_nano",
    "timestamp",
    "@timestamp",
    "time",
    "observedTimeUnixNano",
)
_STATUSES = ("http.response.status_code", "http.status_code")
_SIZES = ("http.response.body.size", "http.response.size", "http.response_content_length")
_CLIENTS = (
    "client.address",
    "http.client_ip",
    "network.peer.address",
    "net.sock.peer.addr",
    "net.peer.ip",
)


def split(line: bytes) -> list[Fields]:
    """Return the log records of one line."""
    records: list[Fields] = []
    for value in decode_records(line, LINE_BYTES_MAX):
        if "resourceLogs" in value:
            records.extend(_exported(value))
        else:
            records.append({**value, **_objects(value, "attributes")})
    return records


def _exported(request: Fields) -> Iterator[Fields]:
    """Walk an export request: resources, their scopes, their records."""
    for resource_logs in _list(request, "resourceLogs"):
        resource = _attributes(_objects(resource_logs, "resource"))
        for scope_logs in _list(resource_logs, "scopeLogs"):
            for record in _list(scope_logs, "logRecords"):
                yield {**resource, **record, **_attributes(record)}


def _list(parent: Fields, name: str) -> list[Any]:
    values = parent.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InvalidRequest("wrong-type", f"{name}: an array of objects was expected")
    return values


def _objects(parent: Fields, name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _attributes(holder: Fields) -> dict[str, Any]:
    """Return OTLP's list of keys and typed values as a mapping."""
    return {
        attribute["key"]: _value(attribute.get("value"))
        for attribute in _list(holder, "attributes")
        if isinstance(attribute.get("key"), str)
    }


def _value(value: Any) -> Any:
    """Unwrap `{"stringValue": "x"}` and, one level deep, an array of them; else `None`."""
    if not isinstance(value, dict):
        return None
    for kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
        if kind in value:
            return value[kind]
    values = _objects(value, "arrayValue").get("values")
    first = values[0] if isinstance(values, list) and values else None
    return first.get("stringValue") if isinstance(first, dict) else None


def entry(fields: Fields) -> LogEntry:
    """Read a record's fields."""
    method = text(fields, "http.request.method", "http.method")
    if method is None:
        raise InvalidRequest("missing-field", "http.request.method: no log record of a request")
    took_s = number(fields, "http.server.request.duration")
    return LogEntry(
        ts=event_time_s(fields, *_TIMES),
        method=method,
        target=text(fields, "url.path", "http.target", "url.full", "http.url") or "",
        status=status(fields, *_STATUSES),
        bytes=integer(fields, *_SIZES) or 0,
        duration_ms=None if took_s is None else took_s * 1_000,
        ip=text(fields, *_CLIENTS),
        user_agent=text(fields, "user_agent.original", "http.user_agent"),
        # A trace's id names many records, and a client can choose it.
        request_id=text(fields, "log.record.uid"),
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return the attribute of a request header, in the stable and in the former spelling."""
    lower = name.lower()
    return (f"http.request.header.{lower}", f"http.request.header.{lower.replace('-', '_')}")


FORMAT = LogFormat(split, entry, header_fields, line_bytes_max=LINE_BYTES_MAX)
