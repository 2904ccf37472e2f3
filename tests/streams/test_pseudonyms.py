"""Names become pseudonyms: the same ones always, other ones under another key, and no way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.request import ID_CHARS_MAX, Request
from streams.codec import decode_request, parse_rfc3339
from streams.commands.pseudonymise import command
from streams.errors import OperatorError
from streams.pseudonyms import Key, Pseudonyms, load_keys
from tests.integration.workers import traffic

OLD, NEW = "o" * 32, "n" * 64
CHANGE = "2024-03-02T00:00:00Z"
CHANGE_S = parse_rfc3339(CHANGE)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# the newest last\n- k1 {OLD}\n\n{CHANGE} k2 {NEW}\n")
    return path


@pytest.fixture
def pseudonyms(keys: Path) -> Pseudonyms:
    return Pseudonyms(load_keys(str(keys)))


FULL = Request(
    CHANGE_S - 1,
    "r1",
    "ann@example.com",
    "view",
    ["sunset 1", "ann@example.com"],
    owner_id="ann@example.com",
    ip="203.0.113.9",
    user_agent="curl/8",
    links={"org": "example.com", "card": "example.com"},
)


def test_every_name_is_replaced_and_equal_names_of_a_kind_stay_equal(
    pseudonyms: Pseudonyms,
) -> None:
    told = pseudonyms.request(FULL)
    text = msgspec.json.encode(told).decode()
    for name in ("ann", "example.com", "sunset", "203.0.113.9"):
        assert name not in text
    assert told.account_id == told.owner_id
    names = [told.account_id, *told.pair_ids, told.ip, *told.links.values()]
    assert len(set(names)) == len(names) == 6
    assert told.links.keys() == FULL.links.keys()
    assert (told.ts, told.request_id, told.action) == (FULL.ts, FULL.request_id, FULL.action)
    assert decode_request(text.encode(), told.ts) == told


def test_a_request_without_names_stays_without(pseudonyms: Pseudonyms) -> None:
    bare = Request(CHANGE_S, "r", "ann", "view")
    told = pseudonyms.request(bare)
    assert told == msgspec.structs.replace(bare, account_id=told.account_id)


def test_the_event_time_says_which_key_holds(pseudonyms: Pseudonyms) -> None:
    before, after = (pseudonyms.name("account", "ann", CHANGE_S + each) for each in (-0.001, 0.0))
    assert before.startswith("k1-")
    assert after.startswith("k2-")
    assert before.removeprefix("k1-") != after.removeprefix("k2-")
    only_old = Pseudonyms([Key(CHANGE_S, "k1", OLD.encode())])
    assert only_old.name("account", "ann", 0.0) == before


@pytest.mark.parametrize("name", ["", "a" * ID_CHARS_MAX, "\x00", "ü" * 128, "\ud800"])
def test_a_pseudonym_of_any_name_fits_the_contract(pseudonyms: Pseudonyms, name: str) -> None:
    told = pseudonyms.name("account", name, CHANGE_S)
    assert told.isascii()
    assert len(told) <= ID_CHARS_MAX


def test_kinds_and_names_can_not_be_mixed_up(pseudonyms: Pseudonyms) -> None:
    one = pseudonyms.name("link:a", "b:c", CHANGE_S)
    assert one != pseudonyms.name("link:a:b", "c", CHANGE_S)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected 1 to 100 keys, found 0"),
        (f"- k1 {OLD[:31]}", "keys:1: key: expected 32 to 64 bytes"),
        (f"- k1 {NEW}n", "keys:1: key: expected 32 to 64 bytes"),
        (f"- K1 {OLD}", "keys:1: key_id"),
        (f"k1 {OLD}", "keys:1: expected three words"),
        (f"yesterday k1 {OLD}", "keys:1: since: "),
        (f"- k1 {OLD}\n{CHANGE} k1 {NEW}", "two keys have the same key_id"),
        (f"- k1 {OLD}\n- k2 {NEW}", "two keys have the same since_s"),
        (f"- k1 {OLD}\n{CHANGE} k2 {OLD}", "two keys have the same secret"),
        (f"- k1 {OLD}\n" * 101, "expected 1 to 100 keys, found 101"),
    ],
)
def test_keys_that_do_not_fit_are_refused_and_never_shown(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(OperatorError) as told:
        load_keys(str(path))
    assert why in str(told.value)
    assert OLD[:31] not in str(told.value)


def test_a_file_of_keys_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="nowhere: No such file"):
        load_keys(str(tmp_path / "nowhere"))


def test_a_key_is_not_shown(keys: Path) -> None:
    assert OLD not in repr(load_keys(str(keys)))


def run(keys: Path, *lines: bytes) -> tuple[list[dict[str, Any]], str]:
    done = CliRunner().invoke(command, ["--keys", str(keys)], input=b"\n".join(lines))
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_command_leaves_out_what_is_not_in_the_contract(keys: Path) -> None:
    prompt = {**msgspec.to_builtins(FULL), "prompt": "a red fox, please"}
    told, said = run(keys, json.dumps(prompt).encode(), b"")
    assert len(told) == 1
    assert "fox" not in str(told)
    assert said == ""


def test_the_command_tells_of_lines_that_are_no_request_and_goes_on(keys: Path) -> None:
    good = msgspec.json.encode(FULL)
    told, said = run(keys, good, b'{"account_id": "ann\\n"}', b"x" * 3_000_000, good)
    assert len(told) == 2
    assert said.count("\n") == 2
    assert "line 2 is left out: missing-field" in said
    assert "line 3 is left out: too-large" in said
    assert "ann" not in said


def decisions_of(requests: list[Request]) -> list[Decision]:
    detector = Detector(DetectionConfig(), "1", "t", 0, lambda _: None)
    return detector.observe(requests, range(len(requests))).decisions


def test_pseudonyms_change_no_decision_where_ids_have_no_order(pseudonyms: Pseudonyms) -> None:
    letters = str.maketrans("0123456789", "abcdefghij")
    requests = [
        msgspec.structs.replace(
            each, ts=each.ts + 9e7, pair_ids=[one.translate(letters) for one in each.pair_ids]
        )
        for each in traffic()
    ]
    plain = decisions_of(requests)
    assert plain
    hidden = decisions_of([pseudonyms.request(each) for each in requests])
    names = {each.account_id: pseudonyms.request(each).account_id for each in requests}
    assert [(names[d.value], d.action, d.issued_at) for d in plain] == [
        (d.value, d.action, d.issued_at) for d in hidden
    ]
