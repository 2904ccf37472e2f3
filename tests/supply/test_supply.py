"""A known weakness fails the audit; no answer at all is said aloud and fails nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.supply import __main__ as supply

SAFE = {"name": "aiohttp", "version": "3", "vulns": []}
WEAK = {
    "name": "orjson",
    "version": "1",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}],
}
UNKNOWN = {"name": "faust", "skip_reason": "not found"}


def tools(directory: Path, answers: list[dict[str, Any]] | None) -> Path:
    """Put a program that answers so in the auditor's place."""
    said = json.dumps({"dependencies": answers}) if answers is not None else "no way out"
    program = directory / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o700)
    return directory


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ([SAFE, WEAK], 1, "orjson 1: PYSEC-1, CVE-1; mended in 2"),
        ([SAFE, UNKNOWN], 0, "0 known weaknesses in 1 packages, says osv"),
        ([UNKNOWN], 0, "NOTHING WAS AUDITED"),
        (None, 0, "NOTHING WAS AUDITED"),
    ],
)
def test_the_audit_says_what_it_found(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answers: list[dict[str, Any]] | None,
    status: int,
    said: str,
) -> None:
    assert supply.audit(tools(tmp_path, answers)) == status
    assert said in capsys.readouterr().out


def test_the_bill_lists_what_runs_and_not_what_tests() -> None:
    runtime = supply._runtime()
    assert {"aiokafka", "faust-streaming", "msgspec", "river"} <= runtime
    assert not {"pytest", "mypy", "hypothesis", "pairwatch"} & runtime
