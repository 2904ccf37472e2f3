"""The operator's table says what each path did, to which pair, and for whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.request import ID_CHARS_MAX, Request
from streams.codec import InvalidRequest
from streams.gateway.entry import LogEntry
from streams.gateway.rules import PATH_CHARS_MAX, Interpreter, bounded_id
from streams.settings import Gateway, Rule

NOW_S = 1_709_409_600.0
TABLE = Gateway(
    rules=(
        Rule(path="/images/(?P<pair>[0-9]+)", action="view", method="GET"),
        Rule(path="/u/(?P<owner>[a-z]+)/(?P<pair>[0-9]+)/file", action="download"),
        Rule(path="/images(/.*)?", action="list", method="get"),
        Rule(path="/v1/generate", action="generate", method="POST"),
    )
)


def interpret(gateway: Gateway = TABLE, **changes: Any) -> Request:
    told: dict[str, Any] = {
        "ts": NOW_S,
        "method": "GET",
        "target": "/images/7",
        "ip": "203.0.113.7",
        **changes,
    }
    return Interpreter(gateway, ("user",), NOW_S).request(
        LogEntry(**told), {"user": changes.get("request_id")}, "log:1"
    )


def test_the_first_rule_that_matches_decides() -> None:
    assert interpret().action == "view"
    assert interpret().pair_ids == ["7"]
    assert interpret(target="/images/").action == "list"


def test_a_rule_matches_the_whole_path_and_no_query() -> None:
    assert interpret(target="/images/7?next=/v1/generate").pair_ids == ["7"]
    assert interpret(target="/images/7/edit").action == "list"
    assert interpret(target="/old/images/7").action == "other"


def test_a_rule_with_a_method_matches_that_method_in_either_case() -> None:
    assert interpret(method="POST").action == "other"
    assert interpret(method="get", target="/images").action == "list"


def test_a_rule_names_the_owner_of_the_pair() -> None:
    request = interpret(method="POST", target="https://example.com/u/ann/9/file#top")
    assert (request.action, request.pair_ids, request.owner_id) == ("download", ["9"], "ann")


@pytest.mark.parametrize("status", [0, 206, 301, 302, 304, 403, 404, 429, 500])
def test_only_what_was_delivered_is_a_pair(status: int) -> None:
    request = interpret(target="/u/ann/9/file", status=status)
    delivered = status in (206, 304)
    assert request.action == "download"
    assert request.pair_ids == (["9"] if delivered else [])
    assert request.owner_id == ("ann" if delivered else None)


@pytest.mark.parametrize(
    ("changes", "pairs"),
    [
        ({}, ["/images/7"]),
        ({"status": 304}, ["/images/7"]),
        ({"target": "http://example.com?q=/x"}, ["/"]),
        ({"target": ""}, []),
        ({"method": "HEAD"}, []),
        ({"method": "POST"}, []),
        ({"status": 302}, []),
        ({"status": 404}, []),
    ],
)
def test_without_a_table_a_successful_get_is_a_view_of_its_path(
    changes: dict[str, Any], pairs: list[str]
) -> None:
    request = interpret(Gateway(), **changes)
    assert request.pair_ids == pairs
    assert request.action == ("view" if pairs else "other")


def test_a_long_path_is_matched_by_its_beginning() -> None:
    table = Gateway(rules=(Rule(path="/(?P<pair>a+)", action="view"),))
    (pair,) = interpret(table, target="/" + "a" * 1_000_000).pair_ids
    assert pair == bounded_id("a" * (PATH_CHARS_MAX - 1))


def test_a_request_nobody_can_be_told_of_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="missing-field"):
        interpret(ip=None)


def test_an_event_time_that_can_not_be_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too-old"):
        interpret(ts=0.0)
    with pytest.raises(InvalidRequest, match="too-far-ahead"):
        interpret(ts=NOW_S + 3_601)


def test_the_logs_own_id_is_taken_and_else_the_position() -> None:
    assert interpret(request_id="req_1").request_id == "req_1"
    assert interpret().request_id == "log:1"


def test_every_id_of_a_request_is_bounded() -> None:
    long = "x" * 10_000
    request = interpret(Gateway(), target=f"/{long}", ip=long, request_id=long)
    ids = [request.request_id, request.account_id, *request.pair_ids]
    assert [len(name) for name in ids] == [ID_CHARS_MAX] * 3


@given(st.text(), st.text())
def test_bounded_ids_differ_where_the_names_do(one: str, other: str) -> None:
    stem = "x" * ID_CHARS_MAX
    assert (bounded_id(one) == bounded_id(other)) == (one == other)
    assert (bounded_id(stem + one) == bounded_id(stem + other)) == (one == other)
    assert bounded_id(one) == one or len(one) > ID_CHARS_MAX
