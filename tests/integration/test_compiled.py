"""What is compiled decides as what is not, to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(__file__).parents[2] / ".venv-compiled" / "bin"
INTERPRETED = (sys.executable, "-c", "from streams.commands import main; main()")
_TIMEOUT_S = 300.0


@pytest.fixture
def compiled() -> tuple[str, ...]:
    if not (BIN / "pairwatch").exists():
        missing = "nothing is compiled: make compiled"
        if os.environ.get("CI"):
            raise RuntimeError(missing)
        pytest.skip(missing)
    return (str(BIN / "pairwatch"),)


def run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    return done.stdout.strip()


def test_machine_code_and_python_decide_alike(compiled: tuple[str, ...], tmp_path: Path) -> None:
    module = run(str(BIN / "python"), "-I", "-c", "import models.judge as it; print(it.__file__)")
    assert module.endswith(".so")
    log = str(tmp_path / "log.jsonl")
    world = ("saturday-night", "--seed", "5", "--accounts", "300", "--days", "6")
    run(*INTERPRETED, "simulate", *world, "--out", log)
    decided = []
    for name, pairwatch in (("compiled", compiled), ("interpreted", INTERPRETED)):
        decisions = tmp_path / name
        run(*pairwatch, "replay", log, "--decisions", str(decisions))
        decided.append(decisions.read_text())
    assert decided[0] == decided[1]
    assert decided[0].count("\n") >= 2
