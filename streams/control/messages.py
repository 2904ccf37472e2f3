"""Control messages as bytes: decoded within bounds, encoded, and in the form that is signed.

Whatever the bytes are, the outcome is a `Control` or an `InvalidControl`; anything else is a bug.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, TypeVar

import msgspec
import rfc8785

from models.notices import Allow, Approve, Calendar, Control, SetMode, Subject, seconds
from models.request import ID_CHARS_MAX
from models.scenarios import SCENARIOS
from streams.codec import DETAIL_CHARS_MAX, TS_MIN_S, InvalidReason, InvalidRequest, decode_json

#: The longest message with every character escaped has some 25 KB.
MESSAGE_BYTES_MAX = 2**15
#: A link is told from others by its value, which may be a hash, a domain or an address.
LINK_CHARS_MAX = 512
#: More than this is planned by a person who meant to switch to shadow.
TOLERANCE_MAX = 100.0
#: The largest networks that anybody holds, by version of the protocol; a shorter prefix is a typo
#: that would let half of the world through.
PREFIX_MIN = {4: 8, 6: 16}
#: The year 9999 is the last that RFC 3339 can write.
TIME_MAX_S = 253_402_300_799.0

#: Characters, at most; one at least. A reason is a few sentences, the rest are names.
_CHARS_MAX = {"id": 128, "by": 128, "why": 1_000, "decision_id": 128, "name": 128}
_TIMES = ("issued_at", "expires_at", "starts_at", "ends_at")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{32}")
_HMAC = re.compile(r"[0-9a-f]{64}")
_KEY_ID_CHARS_MAX = 64
_SCENARIOS = tuple(scenario.name for scenario in SCENARIOS)

AnyControl = TypeVar("AnyControl", bound=Control)


class RefusedControl(ValueError):  # noqa: N818 -- the word of the contract, apart from errors
    """A control message that is not heeded; what operators say otherwise goes on.

    Parameters
    ----------
    reason
        A code out of a small set, such as `bad-signature`: dead letters and metrics count by it.
    detail
        Which field, or what about it. Cut and escaped to printable ASCII, so that what somebody
        wrote can't forge a line of our log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        shown = detail[:DETAIL_CHARS_MAX].encode("unicode_escape").decode("ascii")
        self.detail = shown[:DETAIL_CHARS_MAX]
        super().__init__(f"{reason}: {self.detail}")


class InvalidControl(RefusedControl):
    """Bytes that are no control message; `reason` is one of `streams.codec.REASONS`."""


def decode(data: bytes) -> Control:
    """Read one control message.

    Parameters
    ----------
    data
        The message's value: a JSON object in UTF-8, at most `MESSAGE_BYTES_MAX` bytes.

    Raises
    ------
    InvalidControl
        The bytes are no control message; nothing else is raised, whatever they are.
    """
    try:
        told = decode_json(data, MESSAGE_BYTES_MAX)
    except InvalidRequest as error:
        raise InvalidControl(error.reason, error.detail) from None
    try:
        message: Control = msgspec.convert(told, Control)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        where = path.strip("`.")
        raise InvalidControl(_reason(what), f"{where}: {what}" if where else what) from None
    if "schema_version" not in told:
        raise InvalidControl("missing-field", "Object missing required field `schema_version`")
    for name, value in told.items():
        # Signed as absent or as null? Only one of the two is the message's canonical form.
        if value is None:
            raise InvalidControl("wrong-type", f"{name}: null; leave it out")
    _check(message)
    return message


def encode(message: Control) -> bytes:
    """Return the message's JSON, in canonical form."""
    return rfc8785.dumps(_plain(message))


def canonical(message: Control) -> bytes:
    """Return what a signature is made over: all of the message but the signature's own `hmac`.

    It is made of the decoded message, not of the bytes that came: what is signed is what is
    heeded, however the JSON around it was written (JSON Canonicalization Scheme, RFC 8785).
    """
    plain = _plain(message)
    if message.signature is not None:
        del plain["signature"]["hmac"]
    return rfc8785.dumps(plain)


def _plain(message: Control) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(message)
    return {name: value for name, value in told.items() if value is not None}


def network(text: str) -> str:
    """Return an address range in the one form in which it is compared.

    Raises
    ------
    ValueError
        It is none, or wider than anybody's network.

    >>> network("203.0.113.9/32"), network("2001:DB8::/32")
    ('203.0.113.9/32', '2001:db8::/32')
    """
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        inside = ipaddress.ip_network(text, strict=False)
        raise ValueError(
            f"{text} is an address in a network; say {inside} for all of that"
        ) from None
    if "%" in text:
        raise ValueError(f"{text} has a zone, which means something on one machine only")
    if found.prefixlen < PREFIX_MIN[found.version]:
        widest = PREFIX_MIN[found.version]
        raise ValueError(f"{text} is wider than a /{widest}, the widest that can be allowed")
    return str(found)


def _reason(what: str) -> InvalidReason:
    if "missing required field" in what:
        return "missing-field"
    return "wrong-type" if ", got " in what else "out-of-range"


def _check(message: Control) -> None:
    """Refuse what has the right types and is out of bounds."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name in _CHARS_MAX:
            _check_chars(name, value, _CHARS_MAX[name])
        elif name in _TIMES:
            _check_time(name, value)
        elif name == "subject":
            _check_subject(value, may_be_range=isinstance(message, Allow))
    if isinstance(message, Approve):
        _check_limit(message)
    elif isinstance(message, SetMode):
        if message.scenario is not None and message.scenario not in _SCENARIOS:
            known = ", ".join(_SCENARIOS)
            _refuse("scenario", f"there is no {message.scenario[:ID_CHARS_MAX]}; {known}")
    elif isinstance(message, Calendar) and not 1 <= message.tolerance <= TOLERANCE_MAX:
        _refuse("tolerance", f"{message.tolerance:g} is not 1 to {TOLERANCE_MAX:g}")
    if message.signature is not None:
        _check_chars("signature.key_id", message.signature.key_id, _KEY_ID_CHARS_MAX)
        if not _NONCE.fullmatch(message.signature.nonce):
            _refuse("signature.nonce", "expected 32 hexadecimal digits in lower case")
        if not _HMAC.fullmatch(message.signature.hmac):
            _refuse("signature.hmac", "expected 64 hexadecimal digits in lower case")


def _check_chars(name: str, text: str, chars_max: int) -> None:
    if not 1 <= len(text) <= chars_max:
        _refuse(name, f"{len(text)} characters, not 1 to {chars_max}")


def _check_time(name: str, text: str) -> None:
    try:
        if _TIME.fullmatch(text) and TS_MIN_S <= seconds(text) <= TIME_MAX_S:
            return
    except ValueError:  # the 30th of February
        pass
    _refuse(name, "expected a time from 2000 to 9999 such as 2024-03-02T20:00:00Z (RFC 3339, UTC)")


def _check_subject(subject: Subject, *, may_be_range: bool) -> None:
    value = subject.value
    if subject.scope == "account":
        _check_chars("subject.value", value, ID_CHARS_MAX)
    elif subject.scope == "group":
        _check_chars("subject.value", value, LINK_CHARS_MAX)
        kind, _, link = value.partition(":")
        if not kind or not link:
            _refuse("subject.value", "expected <link type>:<link value>, as org:example.com")
    elif not may_be_range:
        _refuse("subject.scope", "only `allow` is said of a range")
    else:
        try:
            usual = network(value)
        except ValueError as error:
            _refuse("subject.value", str(error))
        if value != usual:  # one range under two names would be allowed twice and taken back once
            _refuse("subject.value", f"{value} must be written {usual}")


def _check_limit(message: Approve) -> None:
    limit = message.limit_per_minute
    if message.action == "ban" and limit is not None:
        _refuse("limit_per_minute", "a ban has none")
    if message.action == "throttle" and (limit is None or limit <= 0):
        _refuse("limit_per_minute", "a throttle has one, above 0")


def _refuse(name: str, what: str) -> None:
    raise InvalidControl("out-of-range", f"{name}: {what}")
