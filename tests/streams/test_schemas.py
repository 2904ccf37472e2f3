"""The published contract holds together, and it is what the code does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from models.decision import (
    LINKED_ACCOUNTS_MAX,
    SAMPLE_REQUEST_IDS_MAX,
    SCHEMA_VERSION,
    Decision,
    DetectorIdentity,
    Evidence,
    Reason,
    Source,
    rfc3339,
)
from models.request import COUNT_MAX, Request
from streams.codec import TS_AHEAD_MAX_S, TS_MIN_S, InvalidRequest, decode_request
from streams.schemas import NAMES, asyncapi, load
from streams.settings import Settings, Topics
from streams.topic_plan import plan
from tests.contract import assert_valid_control, assert_valid_decision, errors

NOW_S = 1_709_409_600.0
ASYNCAPI: dict[str, Any] = yaml.safe_load(asyncapi())

DECISION = Decision(
    decision_id="0b6a2f1c9d7e4a58",
    schema_version=SCHEMA_VERSION,
    scope="account",
    value="acct_17",
    revision=1,
    action="throttle",
    limit_per_minute=0.5,
    issued_at=rfc3339(NOW_S),
    expires_at=rfc3339(NOW_S + 3_600),
    simulated=True,
    scenario="catalogue-sweep",
    score=0.99,
    reasons=(Reason("distinct_pairs_hour", 4_120, 60, "pairs", 0.7),),
    evidence=Evidence(
        window_start=rfc3339(NOW_S - 3_600),
        window_end=rfc3339(NOW_S),
        requests=131,
        distinct_pairs=4_120,
        catalogue_share=0.0041,
        sample_request_ids=("r_1",) * SAMPLE_REQUEST_IDS_MAX,
        linked_accounts=("acct_18",) * LINKED_ACCOUNTS_MAX,
        source=Source("pairwatch.requests.by-account", 3, 90_211),
    ),
    detector=DetectorIdentity("0.1.0", "5b1f0c9e7a3d2e46"),
)


# The files themselves.


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_valid_under_its_metaschema(name: str) -> None:
    Draft202012Validator.check_schema(load(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_accepts_its_own_examples(name: str) -> None:
    examples = load(name)["examples"]
    assert examples
    for example in examples:
        assert errors(name, example) == []


def test_an_unknown_schema_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match=r"no schema '\.\./settings'"):
        load("../settings")


# Requests: the schema and the decoder agree.


def decodes(event: dict[str, Any]) -> bool:
    try:
        decode_request(orjson.dumps(event), NOW_S)
    except InvalidRequest:
        return False
    return True


LEAST = {"ts": NOW_S, "request_id": "r_1", "account_id": "acct_1", "action": "view"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ts": TS_MIN_S},
        {"ts": "2024-03-02T19:00:00Z"},
        {"ts": "2024-03-02t19:00:00.123456789z"},
        {"ts": "2024-03-02T20:00:00+01:00"},
        {"ts": "2016-12-31T23:59:60Z"},
        {"pair_ids": ["p"] * 1_000},
        {"links": {f"kind_{i}": "" for i in range(16)}},
        {"request_id": "ü" * 128},
        {"status": COUNT_MAX, "bytes": -COUNT_MAX, "asn": 0},
        {"unknown": {"deep": [None]}},
        dict.fromkeys(Request.__struct_fields__[4:]),
    ],
)
def test_what_fits_the_request_contract_passes_schema_and_decoder(changes: dict[str, Any]) -> None:
    event = LEAST | changes
    assert errors("request", event) == []
    assert decodes(event)


@pytest.mark.parametrize(
    "changes",
    [
        {"ts": None},
        {"ts": True},
        {"ts": TS_MIN_S - 1},
        {"ts": "2024-03-02"},
        {"ts": "2024-03-02T20:00:00"},
        {"ts": "1709409600"},
        {"request_id": ""},
        {"request_id": "x" * 129},
        {"request_id": 7},
        {"account_id": None},
        {"action": "copy"},
        {"pair_ids": ["p"] * 1_001},
        {"pair_ids": [1]},
        {"pair_ids": "p"},
        {"owner_id": 7},
        {"ip": ["203.0.113.9"]},
        {"asn": "64500"},
        {"asn": 1.5},
        {"links": {f"kind_{i}": "x" for i in range(17)}},
        {"links": {"org": 7}},
        {"links": {"org": None}},
        {"links": []},
        {"status": "200"},
        {"status": True},
        {"bytes": COUNT_MAX + 1},
        {"duration_ms": "12"},
    ],
)
def test_what_does_not_fit_is_refused_by_schema_and_decoder(changes: dict[str, Any]) -> None:
    event = LEAST | changes
    assert errors("request", event)
    assert not decodes(event)


@pytest.mark.parametrize("field", list(LEAST))
def test_schema_and_decoder_miss_the_same_fields(field: str) -> None:
    event = {name: value for name, value in LEAST.items() if name != field}
    assert errors("request", event)
    assert not decodes(event)


def test_the_schema_names_the_fields_of_the_struct_and_no_others() -> None:
    assert list(load("request")["properties"]) == list(Request.__struct_fields__)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2 * COUNT_MAX, 2 * COUNT_MAX),
    # JSON Schema takes 200.0 for an integer; the decoder wants it written as one.
    st.floats(-1e15, 1e15).filter(lambda x: not x.is_integer()),
    st.text(max_size=140),
)
VALUES = st.one_of(
    SCALARS,
    st.sampled_from(load("request")["properties"]["action"]["enum"]),
    st.lists(SCALARS, max_size=3),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), SCALARS, max_size=3),
)


@given(
    ts=st.one_of(
        st.floats(TS_MIN_S, NOW_S + TS_AHEAD_MAX_S),
        st.datetimes().map(datetime.isoformat),
        st.datetimes(datetime(2000, 1, 2), datetime(2024, 3, 2), timezones=st.just(UTC)).map(
            datetime.isoformat
        ),
        st.booleans(),
        st.none(),
    ),
    changes=st.dictionaries(
        st.sampled_from([*Request.__struct_fields__[1:], "unknown"]), VALUES, max_size=4
    ),
)
@settings(max_examples=300)
def test_schema_and_decoder_agree_on_any_event(ts: Any, changes: dict[str, Any]) -> None:
    event = LEAST | {"ts": ts} | changes
    assert (errors("request", event) == []) == decodes(event)


# Decisions: what the code writes is what the schema says.


def test_an_encoded_decision_fits_its_schema() -> None:
    assert_valid_decision(DECISION)


CHANGES: list[dict[str, Any]] = [
    {"action": "copy"},
    {"schema_version": 2},
    {"scope": "link"},
    {"scope": "group", "value": "example.com"},
    {"value": "x" * 129},
    {"revision": 0},
    {"limit_per_minute": None},
    {"limit_per_minute": 0},
    {"action": "ban"},
    {"issued_at": "2024-03-02T20:00:00+01:00"},
    {"issued_at": None},
    {"expires_at": 1_709_409_600},
    {"simulated": "true"},
    {"scenario": "Catalogue Sweep"},
    {"score": 1.01},
    {"detector": {"version": "0.1.0"}},
    {"extra": 1},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_decision_that_breaks_the_contract_is_noticed(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="not a valid decision"):
        assert_valid_decision(assert_valid_decision(DECISION) | changes)


@pytest.mark.parametrize("field", Decision.__struct_fields__)
def test_a_decision_without_one_of_its_fields_is_noticed(field: str) -> None:
    decision = assert_valid_decision(DECISION)
    del decision[field]
    assert errors("decision", decision)


@pytest.mark.parametrize("field", ["sample_request_ids", "linked_accounts"])
def test_evidence_beyond_its_bounds_is_noticed(field: str) -> None:
    decision = assert_valid_decision(DECISION)
    decision["evidence"][field].append("one more")
    assert errors("decision", decision)


def test_a_figure_that_is_not_a_number_is_noticed() -> None:
    for broken in (float("nan"), float("inf")):
        decision = msgspec.structs.replace(DECISION, score=broken)
        assert errors("decision", msgspec.json.encode(decision))


# Control.


@pytest.mark.parametrize("example", load("control")["examples"], ids=lambda e: e["kind"])
def test_a_control_message_needs_every_field_of_its_kind(example: dict[str, Any]) -> None:
    optional = {"signature", "scenario"}
    for field in example.keys() - optional:
        rest = {name: value for name, value in example.items() if name != field}
        assert errors("control", rest), f"{example['kind']} without {field}"


@pytest.mark.parametrize("example", load("control")["examples"], ids=lambda e: e["kind"])
def test_a_misspelt_field_of_a_control_message_is_refused(example: dict[str, Any]) -> None:
    assert errors("control", example | {"expire_at": "2030-01-01T00:00:00Z"})


def test_every_kind_of_control_message_has_an_example() -> None:
    schema = load("control")
    kinds = schema["properties"]["kind"]["enum"]
    assert [assert_valid_control(example)["kind"] for example in schema["examples"]] == kinds


def test_an_approved_ban_has_no_limit() -> None:
    approve = next(e for e in load("control")["examples"] if e["kind"] == "approve")
    assert errors("control", approve | {"action": "ban"})
    assert not errors(
        "control", {k: v for k, v in approve.items() if k != "limit_per_minute"} | {"action": "ban"}
    )


# AsyncAPI.


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    if isinstance(node, list):
        return [ref for value in node for ref in references(value)]
    return []


def resolve(pointer: str) -> Any:
    node = ASYNCAPI
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_reference_of_the_topics_document_resolves() -> None:
    found = references(ASYNCAPI)
    for ref in found:
        if ref.startswith("#/"):
            assert resolve(ref)
        else:
            load(ref.removeprefix("./").removesuffix(".schema.json"))
    files = {f"./{name}.schema.json" for name in NAMES}
    assert files <= set(found)


def test_the_topics_document_says_what_the_topics_command_creates() -> None:
    topics = Topics()
    planned = {t.name: t for t in plan(Settings(), replication=3, source_partitions=12)}
    channels = {channel["address"]: channel for channel in ASYNCAPI["channels"].values()}
    assert channels.keys() == {
        topics.requests,
        topics.requests_by_account,
        topics.decisions,
        topics.decisions_state,
        topics.dead_letters,
        topics.control,
    }
    for name in channels.keys() - {topics.requests}:  # that one is its owner's
        binding, topic = channels[name]["bindings"]["kafka"], planned[name]
        told = binding["topicConfiguration"]
        assert binding["partitions"] == topic.partitions, name
        assert told["cleanup.policy"] == [topic.configs["cleanup.policy"]], name
        assert str(told.get("retention.ms")) == str(topic.configs.get("retention.ms")), name


def test_every_topic_says_who_writes_and_who_reads() -> None:
    for channel in ASYNCAPI["channels"].values():
        assert channel["x-written-by"]
        assert channel["x-read-by"]


def test_every_message_has_a_payload_and_a_key() -> None:
    for message in ASYNCAPI["components"]["messages"].values():
        assert message["payload"]
        assert message["bindings"]["kafka"]["key"]


def test_operations_name_messages_of_their_own_channel() -> None:
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
