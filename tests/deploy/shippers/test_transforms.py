"""What each shipper makes of a gateway's log is the request contract, and the same for all."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from streams.codec import decode_request
from streams.gateway.read import LoggedRequest, read_requests
from streams.settings import load
from tests.contract import assert_valid_request
from tests.deploy.container.tools import DEPLOY, run, tool
from tests.deploy.shippers.lines import CASES, Line, kong

SHIPPERS = DEPLOY / "shippers"
KEY = "a key of the gateways alone"
NGINX = [line for line, _ in CASES.values()]
#: Vector's file source hands on text.
TEXT = [{"message": json.dumps(line)} for line in NGINX]
#: Shipper → the engine that runs its transform, the scripts, and the lines that it reads.
TRANSFORMS: dict[str, tuple[str, tuple[str, ...], list[Line]]] = {
    "vector": ("vrl", ("vector/vector.yaml", "vector/request.vrl"), TEXT),
    "kong": ("vrl", ("kong/lines.vrl", "vector/request.vrl"), [kong(line) for line in NGINX]),
    "fluent-bit": ("lua", ("fluent-bit/request.lua",), NGINX),
    "filebeat": ("js", ("filebeat/request.js",), NGINX),
}
#: Those that have a keyed hash of their own.
HASHING = ("vector", "kong")


@pytest.fixture(scope="module", params=TRANSFORMS)
def transformed(request: pytest.FixtureRequest) -> tuple[str, list[Line | None]]:
    """A shipper and what it makes of every case."""
    engine, scripts, lines = TRANSFORMS[request.param]
    done = run(
        tool("python"),
        str(Path(__file__).with_name("transform.py")),
        engine,
        *(str(SHIPPERS / script) for script in scripts),
        given="".join(json.dumps(line) + "\n" for line in lines),
        environ={"PAIRWATCH_PSEUDONYM_KEY": KEY},
    )
    assert done.returncode == 0, done.stderr
    return request.param, [json.loads(line) for line in done.stdout.splitlines()]


def canonical(sent: Line | None) -> Any:
    """Return an event as the worker understands it."""
    if sent is None:
        return None
    raw = json.dumps(assert_valid_request(sent)).encode()
    return decode_request(raw, time.time())


def hashed(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("at", range(len(CASES)), ids=list(CASES))
def test_each_line_becomes_its_event(transformed: tuple[str, list[Line | None]], at: int) -> None:
    shipper, events = transformed
    _, expected = list(CASES.values())[at]
    if expected is not None and shipper in HASHING:
        links = {kind: hashed(value) for kind, value in expected.get("links", {}).items()}
        expected = expected | {"links": links}
    assert canonical(events[at]) == canonical(expected)


def test_nothing_leaves_that_no_decision_needs(
    transformed: tuple[str, list[Line | None]],
) -> None:
    _, events = transformed
    for sent in events:
        assert sent is None or not {"user_agent", "path", "remote_addr", "org"} & sent.keys()


def test_the_replay_of_the_gateways_log_agrees(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    known = [(line, expected) for line, expected in CASES.values() if expected is not None]
    log.write_text("".join(json.dumps(line) + "\n" for line, _ in known))
    settings = load(str(SHIPPERS / "rules.toml"), {})
    replayed = {
        each.line: each.request
        for each in read_requests([str(log)], "nginx", settings, time.time())
        if isinstance(each, LoggedRequest)
    }
    assert len(replayed) == len(known)
    for number, (line, expected) in enumerate(known, start=1):
        request, sent = replayed[number], canonical(expected)
        assert (request.account_id, request.action) == (sent.account_id, sent.action)
        if not line["pair_ids"]:
            assert request.pair_ids == sent.pair_ids
