"""The wire contract as files: JSON Schema for every message, AsyncAPI for the topics.

They are part of the package, so that whoever installs pairwatch has the contract that it keeps.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import orjson

#: One file each, `<name>.schema.json`.
NAMES = ("request", "decision", "dead-letter", "control")


def load(name: str) -> dict[str, Any]:
    """Return one of the schemas, by its name in `NAMES`.

    >>> load("decision")["title"]
    'Decision'
    """
    schema: dict[str, Any] = orjson.loads(files(__name__).joinpath(_file(name)).read_bytes())
    return schema


def asyncapi() -> str:
    """Return the AsyncAPI document, which is YAML."""
    return files(__name__).joinpath("asyncapi.yaml").read_text(encoding="utf-8")


def _file(name: str) -> str:
    if name not in NAMES:
        raise KeyError(f"there is no schema {name!r}; there are: {', '.join(NAMES)}")
    return f"{name}.schema.json"
