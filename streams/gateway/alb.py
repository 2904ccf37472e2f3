"""Access logs of AWS Application Load Balancers.

Source: Elastic Load Balancing, Application Load Balancers, "Access log entries". The format grows
at its end, so what follows the known fields is left alone. Event time is when the request came
(`request_creation_time`), or where an old log lacks it, when it was answered.
"""

from __future__ import annotations

import re

from streams.codec import InvalidRequest
from streams.gateway.entry import Fields, LogEntry, integer, number, status, text, without_port
from streams.gateway.format import LogFormat
from streams.gateway.text import decode_text, request_line, unescape
from streams.gateway.times import event_time_s

FIELDS = (
    "type",
    "time",
    "elb",
    "client:port",
    "target:port",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
    "target:port_list",
    "target_status_code_list",
    "classification",
    "classification_reason",
    "conn_trace_id",
)
_REQUIRED = FIELDS.index("user_agent") + 1
_VALUE = re.compile(r'"((?:[^"\\]++|\\.)*+)"|(\S+)')
_STAGES = ("request_processing_time", "target_processing_time", "response_processing_time")


def split(line: bytes) -> list[Fields]:
    """Cut a line into its fields."""
    values = [quoted or bare for quoted, bare in _VALUE.findall(decode_text(line))]
    if len(values) < _REQUIRED:
        raise InvalidRequest("bad-line", f"{len(values)} fields, {_REQUIRED} are required")
    return [dict(zip(FIELDS, values, strict=False))]


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    method, target = request_line(unescape(fields["request"]))
    user_agent = text(fields, "user_agent")
    return LogEntry(
        ts=event_time_s(fields, "request_creation_time", "time"),
        method=method,
        target=target,
        status=status(fields, "elb_status_code"),
        bytes=integer(fields, "sent_bytes") or 0,
        duration_ms=_duration_ms(fields),
        ip=without_port(text(fields, "client:port")),
        user_agent=unescape(user_agent) if user_agent else None,
        # Even where a client sends one, the balancer adds a part of its own to it.
        request_id=text(fields, "trace_id"),
    )


def _duration_ms(fields: Fields) -> float | None:
    stages_s = [number(fields, name) for name in _STAGES]
    known_s = [stage_s for stage_s in stages_s if stage_s is not None and stage_s >= 0]
    # -1 stands for a stage that did not come about.
    return sum(known_s) * 1_000 if len(known_s) == len(_STAGES) else None


def header_fields(name: str) -> tuple[str, ...]:
    """Return the field of the one header that the format carries."""
    return ("user_agent",) if name.lower() == "user-agent" else ()


FORMAT = LogFormat(split, entry, header_fields, FIELDS)
