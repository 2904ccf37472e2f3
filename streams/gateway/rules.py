"""From a log entry to a `Request`: the operator's table says what each path did."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from models.request import ID_CHARS_MAX, Action, Request
from streams.codec import InvalidRequest, check_event_time
from streams.gateway.entry import Fields, LogEntry, text
from streams.settings import Gateway

#: Longer paths are matched by their beginning. Clients choose paths, and an operator's expression
#: with a few `.*` costs the cube of their length: 0.2 s here, and 5 s at 2,000 characters.
PATH_CHARS_MAX = 512


class CompiledRule(NamedTuple):
    """One line of the table, ready to match; `method` is `None` where any will do."""

    path: re.Pattern[str]
    action: Action
    method: str | None


def compile_rules(gateway: Gateway) -> tuple[CompiledRule, ...]:
    """Compile the operator's table, whose expressions the settings have found to be valid."""
    return tuple(
        CompiledRule(re.compile(rule.path), rule.action, rule.method and rule.method.upper())
        for rule in gateway.rules
    )


def bounded_id(name: str) -> str:
    """Return an id of at most 128 characters.

    A longer one keeps its first 95 characters and ends in `~` and 32 hex digits of its BLAKE2b
    hash, so that the same name gives the same id and different names different ones.
    """
    if len(name) <= ID_CHARS_MAX:
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{name[: ID_CHARS_MAX - 1 - len(digest)]}~{digest}"


def path_of(target: str) -> str:
    """Return a request target's path, without query, fragment, scheme and host.

    >>> path_of("https://api.example.com:443/images/7?size=full")
    '/images/7'
    """
    path = target.partition("?")[0].partition("#")[0]
    if path.startswith("/"):
        return path
    _, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found else path


class Interpreter:
    """Says of every log entry what it did, to which pair, and for which account.

    The first rule that matches method and whole path decides. A pair counts only where the
    response delivered it (2xx, or 304: the client has it already). Without a table, a GET that
    succeeds is a `view` of its path, and all else is `other`; with one, so is what no rule knows.

    Parameters
    ----------
    gateway
        The operator's settings.
    account_fields
        Where the account stands, best first; without any of them in a line, the client's address
        stands for the account.
    arrived_s
        The present moment, Unix seconds.
    """

    def __init__(self, gateway: Gateway, account_fields: tuple[str, ...], arrived_s: float) -> None:
        self._rules = compile_rules(gateway)
        self._account_fields = account_fields
        self._arrived_s = arrived_s

    def request(self, entry: LogEntry, fields: Fields, position: str) -> Request:
        """Turn one entry into a request.

        Parameters
        ----------
        entry, fields
            The line, as understood and as it was.
        position
            Where the line stands; names a request whose log gives it no id, so that identical
            lines remain distinct requests and every replay gives them the same ids.

        Raises
        ------
        InvalidRequest
            The time can't be right, or nothing tells whose request it is.
        """
        check_event_time(entry.ts, self._arrived_s)
        account = text(fields, *self._account_fields) or entry.ip
        if account is None:
            raise InvalidRequest("missing-field", "neither an account nor a client address")
        action, pair, owner = self._classify(entry)
        return Request(
            ts=entry.ts,
            request_id=bounded_id(entry.request_id or position),
            account_id=bounded_id(account),
            action=action,
            pair_ids=[bounded_id(pair)] if pair else [],
            owner_id=bounded_id(owner) if owner else None,
            ip=entry.ip,
            user_agent=entry.user_agent,
            ja4=entry.ja4,
            asn=entry.asn,
            status=entry.status,
            bytes=entry.bytes,
            duration_ms=entry.duration_ms,
        )

    def _classify(self, entry: LogEntry) -> tuple[Action, str | None, str | None]:
        """Return the action, the pair and its owner."""
        method = entry.method.upper()
        path = path_of(entry.target)
        delivered = 200 <= entry.status < 300 or entry.status == 304
        if not self._rules:
            viewed = delivered and method == "GET" and path != ""
            return ("view", path, None) if viewed else ("other", None, None)
        for rule in self._rules:
            if rule.method is not None and rule.method != method:
                continue
            found = rule.path.fullmatch(path[:PATH_CHARS_MAX])
            if found:
                if not delivered:
                    return rule.action, None, None
                groups = found.groupdict()
                return rule.action, groups.get("pair"), groups.get("owner")
        return "other", None, None
