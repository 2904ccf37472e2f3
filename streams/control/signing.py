"""Who may: the keys in the settings, and signatures made with them (HMAC-SHA-256, RFC 2104)."""

from __future__ import annotations

import hmac
from pathlib import Path

import msgspec

from models.notices import Signature
from streams import settings
from streams.control.messages import AnyControl, canonical
from streams.errors import OperatorError

#: As many as a key of 16 random bytes in hexadecimal has: fewer could be guessed at leisure by
#: whoever reads one signed message.
KEY_CHARS_MIN = 32
#: Keys that are still accepted are few; a hundred are years of monthly changes.
KEYS_MAX = 100
#: That many lines of the longest keys that make sense, with comments.
FILE_BYTES_MAX = 64 * 1024
#: Makes one.
MAKE_A_KEY = "openssl rand -hex 32"
_KEY_ID_CHARS_MAX = 64


class Key(msgspec.Struct, frozen=True):
    """A secret that operators share with pairwatch, and its name."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id!r}, hidden)"


def load_keys(told: settings.Control) -> tuple[Key, ...]:
    """Return the keys in the settings, that which signs first; none where none is set.

    Raises
    ------
    OperatorError
        The file can't be read, a line is not `key_id key`, or a key is too short.
    """
    if told.key is not None:
        return (_key(told.key_id, told.key.reveal(), "control.key"),)
    if told.keys_file is None:
        return ()
    keys: dict[str, Key] = {}
    for number, line in enumerate(_lines(told.keys_file), start=1):
        where = f"control.keys_file: {told.keys_file}, line {number}"
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) != 2:  # not quoted: there may be a secret in it
            raise OperatorError(f"{where}: expected a key's name, a space and the key")
        key = _key(parts[0], parts[1], where)
        if key.key_id in keys:
            raise OperatorError(f"{where}: there is a key {key.key_id} above")
        keys[key.key_id] = key
    if not 1 <= len(keys) <= KEYS_MAX:
        where = f"control.keys_file: {told.keys_file}"
        raise OperatorError(f"{where}: expected 1 to {KEYS_MAX} keys, found {len(keys)}")
    return tuple(keys.values())


def sign(message: AnyControl, key: Key, nonce: str) -> AnyControl:
    """Return the message with a signature.

    Parameters
    ----------
    message
        What is said; a signature that it has is replaced.
    key
        In whose name.
    nonce
        32 hexadecimal digits that were never used before.
    """
    unsigned = msgspec.structs.replace(message, signature=Signature(key.key_id, nonce, ""))
    signature = Signature(key.key_id, nonce, _hmac(unsigned, key))
    return msgspec.structs.replace(message, signature=signature)


def is_signed_with(message: AnyControl, key: Key) -> bool:
    """Return whether the message's signature was made with this key over exactly this message."""
    signature = message.signature
    return signature is not None and hmac.compare_digest(signature.hmac, _hmac(message, key))


def _hmac(message: AnyControl, key: Key) -> str:
    return hmac.digest(key.secret, canonical(message), "sha256").hex()


def _key(key_id: str, text: str, where: str) -> Key:
    if len(key_id) > _KEY_ID_CHARS_MAX:
        raise OperatorError(f"{where}: a key's name has at most {_KEY_ID_CHARS_MAX} characters")
    if len(text) < KEY_CHARS_MIN:
        raise OperatorError(
            f"{where}: the key {key_id} has {len(text)} characters, fewer than {KEY_CHARS_MIN}; "
            f"`{MAKE_A_KEY}` makes one"
        )
    return Key(key_id, text.encode())


def _lines(path: str) -> list[str]:
    where = f"control.keys_file: {path}"
    try:
        with Path(path).open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(f"{where}: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise OperatorError(f"{where}: a file of keys has at most {FILE_BYTES_MAX:,} bytes")
    try:
        return raw.decode().splitlines()
    except UnicodeDecodeError:
        raise OperatorError(f"{where}: this is not UTF-8 text") from None
