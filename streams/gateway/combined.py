r"""The combined log format of Apache httpd and nginx, and the common one that it extends.

Source: httpd's `mod_log_config` (`%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\"`)
and nginx's `ngx_http_log_module`. Fields bear nginx's names; what follows the user agent is left
alone. A request line that is no HTTP leaves a request of which only the client, the time and the
status are known: its action is `other`.
"""

from __future__ import annotations

import re

from streams.codec import InvalidRequest
from streams.gateway.entry import Fields, LogEntry, integer, status, text
from streams.gateway.format import LogFormat
from streams.gateway.text import decode_text, request_line, unescape
from streams.gateway.times import event_time_s

FIELDS = (
    "remote_addr",
    "ident",
    "remote_user",
    "time_local",
    "request",
    "status",
    "body_bytes_sent",
    "http_referer",
    "http_user_agent",
)
# The user's name comes from the client and may hold spaces and brackets. The bounds keep a line
# that almost fits from being tried in ever more ways.
_LINE = re.compile(
    r"(\S{1,255}) (\S{1,255}) (.{1,255}?) \[([^\]]{20,40})\]"
    r' "((?:[^"\\]++|\\.)*+)" (\d{3}|-) (\d{1,19}|-)'
    r'(?: "((?:[^"\\]++|\\.)*+)" "((?:[^"\\]++|\\.)*+)")?(?:\s.*)?',
    re.ASCII,
)


def split(line: bytes) -> list[Fields]:
    """Cut a line into its fields."""
    found = _LINE.fullmatch(decode_text(line))
    if not found:
        raise InvalidRequest("bad-line", "not in the combined log format")
    return [dict(zip(FIELDS, found.groups(), strict=True))]


def entry(fields: Fields) -> LogEntry:
    """Read a line's fields."""
    method, target = request_line(unescape(fields["request"]))
    user_agent = text(fields, "http_user_agent")
    return LogEntry(
        ts=event_time_s(fields, "time_local"),
        method=method,
        target=target,
        status=status(fields, "status"),
        bytes=integer(fields, "body_bytes_sent") or 0,
        ip=text(fields, "remote_addr"),
        user_agent=unescape(user_agent) if user_agent else None,
    )


def header_fields(name: str) -> tuple[str, ...]:
    """Return the field of one of the two headers that the format carries."""
    field = f"http_{name.lower().replace('-', '_')}"
    return (field,) if field in FIELDS else ()


FORMAT = LogFormat(split, entry, header_fields, FIELDS)
