"""Assertions that a message keeps the published contract, for every test that sees one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
import orjson
from jsonschema import Draft202012Validator

from models.decision import Decision
from streams.schemas import load

Message = bytes | str | Mapping[str, Any]


def assert_valid_request(request: Message) -> dict[str, Any]:
    """Assert that a request event fits its schema; return it parsed."""
    return _assert_valid("request", request)


def assert_valid_decision(decision: Message | Decision) -> dict[str, Any]:
    """Assert that a decision fits its schema; return it parsed."""
    if isinstance(decision, Decision):
        decision = msgspec.json.encode(decision)
    return _assert_valid("decision", decision)


def assert_valid_dead_letter(dead_letter: Message) -> dict[str, Any]:
    """Assert that a dead letter fits its schema; return it parsed."""
    return _assert_valid("dead-letter", dead_letter)


def assert_valid_control(control: Message) -> dict[str, Any]:
    """Assert that a control message fits its schema; return it parsed."""
    return _assert_valid("control", control)


def errors(name: str, message: Message) -> list[str]:
    """Return what of a message does not fit the schema, `where: what`; none means that it fits."""
    return [
        f"{error.json_path}: {error.message}"
        for error in validator(name).iter_errors(_parse(message))
    ]


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of one of the schemas."""
    return Draft202012Validator(load(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


def _assert_valid(name: str, message: Message) -> dict[str, Any]:
    parsed = _parse(message)
    found = errors(name, parsed)
    assert not found, f"not a valid {name}:\n  " + "\n  ".join(found) + f"\n{parsed}"
    return parsed


def _parse(message: Message) -> dict[str, Any]:
    parsed: dict[str, Any] = (
        orjson.loads(message) if isinstance(message, bytes | str) else dict(message)
    )
    return parsed
