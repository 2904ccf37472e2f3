"""Signatures cover every field, and keys come from the settings without being shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.control.messages import decode, encode
from streams.control.signing import KEYS_MAX, Key, is_signed_with, load_keys, sign
from streams.errors import OperatorError
from streams.settings import Control
from streams.settings_reader import Secret
from tests.control import EXAMPLES, KEY, MESSAGES, OTHER_KEY, SECRET

NONCES = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


# Signatures.


def test_the_signed_example_of_the_schema_is_signed_with_the_key_it_names() -> None:
    # The figure is OpenSSL's: `openssl dgst -sha256 -hmac KEY` over the canonical form.
    message = decode(orjson.dumps(EXAMPLES["overturn"]))
    assert message.signature is not None
    assert message.signature.hmac == (
        "7bfbef431cfbd2c9f097c0ef2cb98c829eeed9ff2dd3ab3179ea9a02efbe337b"
    )
    assert is_signed_with(message, KEY)


@given(MESSAGES, NONCES)
def test_a_signature_survives_the_wire(told: dict[str, Any], nonce: str) -> None:
    message = sign(decode(orjson.dumps(told)), KEY, nonce)
    assert is_signed_with(decode(encode(message)), KEY)


@given(MESSAGES, MESSAGES, NONCES, st.data())
def test_any_changed_field_breaks_the_signature(
    told: dict[str, Any], other: dict[str, Any], nonce: str, data: st.DataObject
) -> None:
    wire = orjson.loads(encode(sign(decode(orjson.dumps(told)), KEY, nonce)))
    field = data.draw(st.sampled_from(sorted(told.keys() & other.keys() - {"schema_version"})))
    if field == "kind":
        changed = other | {"signature": wire["signature"]}
    else:
        changed = wire | {field: other[field]}
    assume(changed != wire)
    if changed["kind"] != "allow":
        assume(changed.get("subject", {}).get("scope") != "range")
    assert not is_signed_with(decode(orjson.dumps(changed)), KEY)


@given(MESSAGES, st.sampled_from(["key_id", "nonce", "hmac"]))
def test_any_changed_part_of_the_signature_breaks_it(told: dict[str, Any], part: str) -> None:
    message = sign(decode(orjson.dumps(told)), KEY, "0" * 32)
    assert message.signature is not None
    value = {"key_id": "ops-2025", "nonce": "0" * 31 + "1", "hmac": "0" * 64}[part]
    signature = msgspec.structs.replace(message.signature, **{part: value})
    assert not is_signed_with(msgspec.structs.replace(message, signature=signature), KEY)


def test_an_unsigned_message_is_signed_with_no_key() -> None:
    assert not is_signed_with(decode(orjson.dumps(EXAMPLES["release"])), KEY)


def test_another_secret_under_the_same_name_does_not_do() -> None:
    message = sign(decode(orjson.dumps(EXAMPLES["release"])), KEY, "0" * 32)
    assert not is_signed_with(message, Key(KEY.key_id, OTHER_KEY.secret))


# Keys.


def test_without_a_key_in_the_settings_there_is_none() -> None:
    assert load_keys(Control()) == ()


def test_the_key_of_the_settings_has_the_name_of_the_settings() -> None:
    assert load_keys(Control(key_id="ops-2024", key=Secret(SECRET))) == (KEY,)


def in_file(path: Path, text: str | bytes) -> Control:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Control(keys_file=str(path))


def test_a_file_of_keys_is_read_in_its_order_without_comments(tmp_path: Path) -> None:
    text = f"# new\nops-2025 {OTHER_KEY.secret.decode()}\r\n\n  # old\n\tops-2024   {SECRET}"
    assert load_keys(in_file(tmp_path / "keys", text)) == (OTHER_KEY, KEY)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected 1 to 100 keys, found 0"),
        ("# none\n", "expected 1 to 100 keys, found 0"),
        (f"\n{SECRET}\n", "line 2: expected a key's name, a space and the key"),
        (f"a {SECRET} c\n", "line 1: expected a key's name, a space and the key"),
        (f"a {SECRET[:31]}\n", "line 1: the key a has 31 characters, fewer than 32"),
        (f"a {SECRET}\na {SECRET[::-1]}\n", "line 2: there is a key a above"),
        (f"{'a' * 65} {SECRET}\n", "line 1: a key's name has at most 64 characters"),
        (b"\xff\xfe", "this is not UTF-8 text"),
        ("#" * 65_537, "a file of keys has at most 65,536 bytes"),
        (
            "".join(f"k{i} {SECRET}\n" for i in range(KEYS_MAX + 1)),
            "expected 1 to 100 keys, found 101",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_line_without_showing_a_key(
    tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    path = tmp_path / "keys"
    with pytest.raises(OperatorError) as refused:
        load_keys(in_file(path, text))
    assert str(refused.value).startswith(f"control.keys_file: {path}")
    assert complaint in str(refused.value)
    assert SECRET[:31] not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"^control\.keys_file: .*none: No such file"):
        load_keys(Control(keys_file=str(tmp_path / "none")))


def test_a_short_key_in_the_settings_is_refused_without_showing_it() -> None:
    with pytest.raises(OperatorError, match=r"^control\.key: .*fewer than 32") as refused:
        load_keys(Control(key=Secret("hunter2")))
    assert "hunter2" not in str(refused.value)


def test_a_key_is_not_shown() -> None:
    assert SECRET not in repr(KEY)
