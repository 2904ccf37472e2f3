"""`pairwatch compare` shows whom each of two configurations would hit, and how they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner, Result

from models.decision import Decision
from models.request import Request
from streams.commands.compare import command, describe
from streams.commands.replay import command as replay
from streams.compare import Course, Hit, Outcome, Subject, settings_apart
from streams.errors import OperatorError
from streams.replay import Summary
from streams.settings import load
from tests.models.traffic import HOUR_S, MIDNIGHT_S, traffic, views

SHADOW = '[policy]\nmode = "shadow"\n'
NO_FLOOD = '[scenarios.request-flood]\nmode = "off"\n'
LOOSE = """[policy]
false_throttles_per_1000_account_days = 100
false_bans_per_100000_account_days = 1000
"""
#: One partition: too few people for twelve, each of which has peers of its own.
WHERE = "[topics]\npartitions = 1\n"
MEANT = '[scenarios.request-flood]\nmode = "enforce"\n'


def requests() -> list[Request]:
    """Return two days of people, a flood, and one who reads two pairs a second for a while."""
    pairs = (f"pair_{n}" for n in range(2_400))
    sweep = views("sweeper", MIDNIGHT_S + 33 * HOUR_S, 0.5, pairs)
    return sorted(traffic(7, honest=50, days=2) + sweep, key=lambda request: request.ts)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The requests, and two lines that are none."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    lines = [msgspec.json.encode(request) for request in requests()]
    path.write_bytes(b"\n".join([*lines, b"{", b"[]"]))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(WHERE + text)
        return str(path)

    return write


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def compared(a: str, b: str, log: Path) -> dict[str, Any]:
    result = run("--config", a, "--config", b, "--json", str(log))
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = orjson.loads(result.stdout)
    return told


def differences(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["value"]: each for each in told["differences"]}


def decided(log: Path, config: str, out: Path) -> list[Decision]:
    result = CliRunner().invoke(replay, ["--config", config, "--decisions", str(out), str(log)])
    assert result.exit_code == 0, result.output
    return [msgspec.json.decode(line, type=Decision) for line in out.read_bytes().splitlines()]


def test_a_configuration_differs_in_nothing_from_itself(log: Path, config: Any) -> None:
    a, b = config("a", SHADOW), config("b", SHADOW)
    told = compared(a, b, log)
    assert told["differences"] == []
    assert told["settings"] == {}
    assert told["alike"] == told["a"]["hit"] == told["b"]["hit"] >= 2
    assert told["a"]["bad_lines"] == {"bad-json": 1, "wrong-type": 1}
    shown = run("--config", a, "--config", b, str(log)).output
    assert "They differ in no setting that could change a decision." in shown
    assert f"Alike: {told['alike']}; differently: 0; only A: 0; only B: 0" in shown


def test_each_side_decides_what_a_replay_decides(log: Path, config: Any, tmp_path: Path) -> None:
    a, b = config("a", SHADOW), config("b", NO_FLOOD)
    told = compared(a, b, log)
    for side, told_by in (("a", a), ("b", b)):
        decisions = decided(log, told_by, tmp_path / side)
        scopes = [key.partition(":")[0] for key in {decision.key for decision in decisions}]
        assert told[side]["hit"] == scopes.count("account")
        assert told[side]["groups"] == scopes.count("group")
        assert sum(told[side]["decisions"].values()) == len(decisions)
        for value, difference in differences(told).items():
            of_it = [decision for decision in decisions if decision.value == value]
            course = difference[side]
            assert (course is None) == (not of_it)
            if course is not None:
                assert course["first"]["decision_id"] == of_it[0].decision_id
                assert course["decisions"] == len(of_it)


def test_who_is_hit_under_one_configuration_only_is_named(log: Path, config: Any) -> None:
    a, b = config("a", SHADOW), config("b", NO_FLOOD)
    found = differences(compared(a, b, log))
    assert found["flood"]["difference"] == "only-a"
    assert found["flood"]["b"] is None
    assert differences(compared(b, a, log))["flood"]["difference"] == "only-b"
    shown = run("--config", a, "--config", b, str(log)).output
    assert "\nflood: only A\n" in shown
    assert "\n  B  leaves it alone\n" in shown
    assert '  scenarios.request-flood.mode: unset in A, "off" in B\n' in shown


def test_groups_that_a_person_is_asked_about_are_no_accounts_that_are_hit() -> None:
    first = Hit("d", "review", None, "coordinated-sweep", "2024-03-04T00:00:00Z", True, 9)
    courses = {
        Subject(scope, value): Course(first, "review", 1)
        for scope, value in (("account", "a"), ("group", "org:x"), ("group", "payment:y"))
    }
    outcome = Outcome(Summary(events=10, accounts=2), courses)
    *_, a, _, counts = describe(("a", "b"), {}, (outcome, outcome), [], 9)
    assert a == "A: hits 1 of 2 accounts in 10 requests, and asks about 2 groups"
    assert counts.startswith("Alike: 0")


def test_who_is_hit_earlier_has_read_less_until_then(log: Path, config: Any) -> None:
    a, b = config("a", SHADOW), config("b", LOOSE)
    swept = differences(compared(a, b, log))["sweeper"]
    assert swept["difference"] == "differently"
    first_a, first_b = swept["a"]["first"], swept["b"]["first"]
    assert first_b["issued_at"] < first_a["issued_at"]
    assert first_b["pairs"] < first_a["pairs"]
    shown = run("--config", a, "--config", b, str(log)).output
    line = next(line for line in shown.splitlines() if line.startswith("sweeper: "))
    assert " earlier, " in line
    assert f"{first_a['pairs'] - first_b['pairs']:,} pairs fewer" in line


def test_pairs_until_then_are_those_of_the_log_up_to_the_first_decision(
    log: Path, config: Any, tmp_path: Path
) -> None:
    told = compared(config("a", NO_FLOOD), config("b", LOOSE), log)
    first = differences(told)["sweeper"]["a"]["first"]
    decision = next(
        each
        for each in decided(log, config("a", NO_FLOOD), tmp_path / "out")
        if each.decision_id == first["decision_id"]
    )
    until = requests()[: decision.evidence.source.offset]
    read = {
        pair for request in until if request.account_id == "sweeper" for pair in request.pair_ids
    }
    assert first["pairs"] == pytest.approx(len(read), rel=0.1)
    # All on one day: counted as the decision itself counts.
    assert first["pairs"] == pytest.approx(decision.evidence.distinct_pairs, rel=0.1)


def test_decisions_that_only_one_side_means_are_a_difference(log: Path, config: Any) -> None:
    a, b = config("a", SHADOW), config("b", MEANT)
    told = compared(a, b, log)
    assert set(differences(told)) == {"flood"}
    flood = differences(told)["flood"]
    assert flood["a"]["first"] | {"simulated": False} == flood["b"]["first"]
    shown = run("--config", a, "--config", b, str(log)).output
    assert "\nflood: simulated in A only\n" in shown


def test_more_differences_than_asked_for_are_counted(log: Path, config: Any) -> None:
    a, b = config("a", SHADOW), config("b", LOOSE + NO_FLOOD)
    different = len(compared(a, b, log)["differences"])
    assert different >= 2
    shown = run("--config", a, "--config", b, "--limit", "1", str(log)).output
    assert f"... and {different - 1} more differences" in shown


def test_each_side_reads_the_log_by_its_own_rules(tmp_path: Path, config: Any) -> None:
    line = '{} - - [02/Mar/2024:20:00:{:02d} +0000] "GET /p/{} HTTP/1.1" 200 9 "-" "{}"\n'
    log = tmp_path / "access.log"
    log.write_text("".join(line.format(f"10.0.0.{n % 3}", n, n, "curl") for n in range(30)))
    by_agent = config("b", '[gateway]\naccount_header = "user-agent"\n')
    result = run(
        *("--config", config("a", ""), "--config", by_agent),
        *("--format", "combined", "--json", str(log)),
    )
    assert result.exit_code == 0, result.output
    told = orjson.loads(result.stdout)
    assert (told["a"]["accounts"], told["b"]["accounts"]) == (3, 1)
    assert told["settings"] == {"gateway.account_header": {"a": None, "b": "user-agent"}}


@pytest.mark.parametrize("times", [0, 1, 3])
def test_any_other_number_of_configurations_than_two_is_refused(
    times: int, log: Path, config: Any
) -> None:
    result = run(*["--config", config("a", "")] * times, str(log))
    assert isinstance(result.exception, OperatorError)
    assert f"given: {times} times" in str(result.exception)


def test_standard_input_is_refused_as_it_can_t_be_read_twice(config: Any) -> None:
    result = run("--config", config("a", ""), "--config", config("b", ""), "-")
    assert isinstance(result.exception, OperatorError)
    assert "reads the log twice" in str(result.exception)


def test_only_settings_that_can_change_a_decision_are_told() -> None:
    a = load(environ={"PAIRWATCH_KAFKA__GROUP": "x", "PAIRWATCH_STATE__DIRECTORY": "/x"})
    b = load(
        environ={"PAIRWATCH_CATALOGUE__SIZE": "9", "PAIRWATCH_SCENARIOS__SLOW_DRIP__MODE": "off"}
    )
    assert settings_apart(a, b) == {
        "catalogue.size": (None, 9),
        "scenarios.slow-drip.mode": (None, "off"),
    }
