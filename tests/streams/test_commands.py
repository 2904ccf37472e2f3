"""What every command has in common: whatever is wrong with a call is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.commands import COMMANDS, main

REQUEST = '{"ts": 1709300000, "request_id": "r", "account_id": "a", "action": "view"}'


def ran(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: pairwatch {name} ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain"], "Missing argument 'ACCOUNT|DECISION'; `pairwatch explain --help` says more"),
        (["release", "account", "a"], "Missing option '--why'; `pairwatch release --help`"),
        (["allow"], "Missing argument '{account|link|range}'. Choose from: account, link, range;"),
        (["mode", "off", "--why", "x"], "Invalid value for '{shadow|enforce}': 'off' is not one"),
        (["decisions", "--limit", "0"], "Invalid value for '--limit': 0 is not in the range"),
        (["worker", "--fast"], "No such option: --fast"),
        (["halt"], "No such command 'halt'; `pairwatch --help` says more"),
    ],
)
def test_a_call_that_does_not_fit_is_one_line_and_where_to_read_on(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    [line] = told.err.splitlines()
    assert line.startswith(f"pairwatch: {said}")
    assert line.endswith("--help` says more")


def test_without_a_command_those_that_there_are_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ran([]) == 2
    told = capsys.readouterr().err
    assert all(f"\n  {name} " in told for name in COMMANDS)


@pytest.mark.parametrize(("line", "is_told"), [("rubbish", True), (REQUEST, False)])
def test_a_log_without_a_single_request_is_asked_for_its_format(
    line: str, is_told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(line + "\n")
    assert ran(["replay", str(tmp_path / "log")]) == 0
    assert ("does --format fit?" in capsys.readouterr().err) == is_told
