"""What text logs share: escapes, quotes and the request line."""

from __future__ import annotations

import re

from streams.codec import InvalidRequest

_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v", b"f": b"\f"}
_METHOD = re.compile(r"[A-Za-z]{1,32}", re.ASCII)


def decode_text(raw: bytes) -> str:
    """Read a line of a text log.

    Raises
    ------
    InvalidRequest
        It is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("bad-utf8", f"byte {error.start}: {error.reason}") from None


def unescape(text: str) -> str:
    r"""Undo the escapes of Apache (`\"`, `\\`, `\n`, `\xhh`) and of nginx (`\xHH`).

    >>> unescape(r"a \"b\" \x22c\x22")
    'a "b" "c"'
    """
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_unescape_one, text.encode()).decode("utf-8", "backslashreplace")


def _unescape_one(escape: re.Match[bytes]) -> bytes:
    code, literal = escape.groups()
    if code is not None:
        return bytes.fromhex(code.decode())
    return _CONTROLS.get(literal, literal)


def request_line(line: str) -> tuple[str, str]:
    r"""Split `GET /a HTTP/1.1` into method and target.

    What is no HTTP (the `\x16\x03` of TLS on a plain port, `-`, nothing at all) becomes two empty
    strings: the gateway answered it, with 400, so it remains a request, of which nothing is known.
    """
    method, _, rest = line.partition(" ")
    target, space, protocol = rest.rpartition(" ")
    if not space or not protocol.startswith("HTTP/"):
        target = rest
    if not target or not _METHOD.fullmatch(method):
        return "", ""
    return method, target
