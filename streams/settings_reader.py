"""Reads a TOML file and the environment into one frozen struct, and names whatever is wrong.

The shape of the struct is all that this module knows: sections that are structs themselves, and
tables of structs under names of the operator's own, such as `[scenarios.request-flood]`.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from streams.errors import OperatorError

#: A configuration has some hundred lines; a file beyond this is the wrong one.
FILE_BYTES_MAX = 1 << 20

_T = TypeVar("_T", bound=msgspec.Struct)


class Secret:
    """A value that no log line, error or command shows; `reveal` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the value itself, to hand to the library that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class _Told(typing.NamedTuple):
    """One setting that somebody gave: its dotted name's parts, its value, and where it stands."""

    keys: tuple[str, ...]
    value: Any
    kind: Any
    origin: str

    @property
    def name(self) -> str:
        return ".".join(self.keys)


def read(root: type[_T], path: str | None, environ: Mapping[str, str], prefix: str) -> _T:
    """Read a struct from a TOML file and the environment, which wins.

    Parameters
    ----------
    root
        The struct: every field a section, with a default.
    path
        The TOML file; `None` for none.
    environ
        Variables named `<prefix><SECTION>__<KEY>`. In a table of named structs dashes are
        written as underscores: `<prefix>SCENARIOS__REQUEST_FLOOD__MODE`.
    prefix
        What the variables' names begin with.

    Raises
    ------
    OperatorError
        A file that can't be read, or a setting that does not exist or does not fit.
    """
    told = list(_from_file(root, path)) if path else []
    told += _from_environment(root, environ, prefix)
    whole: dict[str, Any] = {}
    for setting in told:
        _check(setting)
        section = whole
        for key in setting.keys[:-1]:
            section = section.setdefault(key, {})
        section[setting.keys[-1]] = setting.value
    try:
        return msgspec.convert(whole, root, dec_hook=_decode)
    except msgspec.ValidationError as error:
        # Each value fits by itself; what is left are settings that don't fit each other.
        message = str(error).partition(" - at ")[0]
        raise OperatorError(f"{path or 'settings'}: {message}") from None


def _from_file(root: type[msgspec.Struct], path: str) -> Iterator[_Told]:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise OperatorError(f"{path}: there is no such configuration file") from None
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise OperatorError(f"{path}: a configuration file has at most {FILE_BYTES_MAX} bytes")
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))  # some editors put a byte order mark
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(f"{path}: {error}") from None
    return _leaves(root, (), tree, path)


def _leaves(kind: Any, keys: tuple[str, ...], tree: Mapping[str, Any], at: str) -> Iterator[_Told]:
    for key, value in tree.items():
        below = _kind_below(kind, (*keys, key), at)
        if not _is_section(below):
            yield _Told((*keys, key), value, below, at)
        elif isinstance(value, dict):
            yield from _leaves(below, (*keys, key), value, at)
        else:
            name = ".".join((*keys, key))
            raise OperatorError(f"{at}: {name}: a section [{name}] was expected")


def _from_environment(
    root: type[msgspec.Struct], environ: Mapping[str, str], prefix: str
) -> Iterator[_Told]:
    # One underscore for two would leave a mode or a broker at its default without a word.
    nearly = {name.replace("__", "_"): name for name in _variables(root, prefix)}
    for variable, text in sorted(environ.items()):
        if variable in nearly:
            raise OperatorError(f"{variable}: did you mean {nearly[variable]}?")
        if not variable.startswith(prefix) or "__" not in variable:
            continue
        keys: tuple[str, ...] = ()
        kind: Any = root
        for part in variable.removeprefix(prefix).lower().split("__"):
            part = part.replace("_", "-") if _is_table(kind) else part
            keys = (*keys, part)
            kind = _kind_below(kind, keys, variable)
        if _is_section(kind):
            raise OperatorError(f"{variable}: {'.'.join(keys)} is a section, not a setting")
        yield _Told(keys, _value(text, kind), kind, variable)


def _variables(root: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    for section in msgspec.structs.fields(root):
        if not _is_table(section.type):
            for key in msgspec.structs.fields(section.type):
                yield f"{prefix}{section.name}__{key.name}".upper()


def _value(text: str, kind: Any) -> Any:
    """Read a variable as plain text where that fits, else as TOML would."""
    try:
        msgspec.convert(text, kind, dec_hook=_decode)
    except msgspec.ValidationError:
        try:
            parsed = tomllib.loads(f"value = {text}")
        except tomllib.TOMLDecodeError:
            return text
        return parsed["value"] if len(parsed) == 1 else text
    return text


def _check(setting: _Told) -> None:
    try:
        msgspec.convert(setting.value, setting.kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        message, _, inner = str(error).partition(" - at `$")
        if not inner:
            message = _explained(message, setting.kind)
        name = setting.name + inner.rstrip("`")
        raise OperatorError(f"{setting.origin}: {name}: {message}") from None


def _kind_below(kind: Any, keys: tuple[str, ...], at: str) -> Any:
    """Return the type of the last of `keys`, which stands in a section of type `kind`."""
    *above, key = keys
    if _is_table(kind):
        return typing.get_args(kind)[1]
    if not _is_section(kind):
        raise OperatorError(f"{at}: {'.'.join(above)} is a setting, not a section")
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    what = f"setting {'.'.join(keys)}" if above else f"section [{key}]"
    raise OperatorError(f"{at}: there is no {what}; {hint}")


def _is_table(kind: Any) -> bool:
    return typing.get_origin(kind) is dict


def _is_section(kind: Any) -> bool:
    return _is_table(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _explained(message: str, kind: Any) -> str:
    """Say what would have fitted, from the `Literal` or the description within a type."""
    if typing.get_origin(kind) is Literal:
        return f"{message}; there are: {', '.join(map(str, typing.get_args(kind)))}"
    if isinstance(kind, msgspec.Meta) and kind.description and "regex" in message:
        return f"expected {kind.description}"
    for part in typing.get_args(kind):
        message = _explained(message, part)
    return message


def _decode(kind: type, value: Any) -> Any:
    if kind is not Secret:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError("Expected `str`")
    return Secret(value)
