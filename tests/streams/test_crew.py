"""However many processes judge a log, the outcome is byte for byte the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import orjson
import pytest
from click.testing import CliRunner

from models.request import Request
from streams.commands.replay import command
from streams.crew import Crew
from streams.errors import OperatorError
from streams.judges import Setup
from streams.replay import Replay
from streams.settings import load
from tests.models.traffic import DAY_S, HOUR_S, MIDNIGHT_S, request, traffic

#: Far beyond what any of it takes.
PATIENCE_S = 60.0


def requests() -> list[Request]:
    """Return people, lone copiers and a flood, and six who divide the catalogue for a day."""
    chance = random.Random(3)
    shared = [
        request(
            f"shard_{n}",
            MIDNIGHT_S + DAY_S + 8 * HOUR_S + 40 * at + chance.uniform(0, 40),
            pair_ids=[f"pair_{6 * chance.randrange(3_000) + n}"],
            links={"payment": "fp_1"},
            ip=f"10.0.{n}.1",
        )
        for n in range(6)
        for at in range(300)
    ]
    return sorted(traffic(7, honest=60, days=2) + shared, key=lambda one: one.ts)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The requests somewhat out of order, and lines that are none between them."""
    chance, lines = random.Random(4), []
    for one in sorted(requests(), key=lambda one: one.ts + chance.uniform(0, 20)):
        lines.append(msgspec.json.encode(one))
        if chance.random() < 0.01:
            lines.append(b'{"ts": 1}')
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


class Replayed(msgspec.Struct):
    decisions: bytes
    dead_letters: list[dict[str, object]]
    summary: dict[str, object]


def replayed(log: Path, out: Path, *options: str) -> Replayed:
    decisions, letters = out / "decisions.jsonl", out / "letters.jsonl"
    arguments = ["--decisions", str(decisions), "--dead-letters", str(letters), "--json"]
    result = CliRunner().invoke(command, [*arguments, *options, str(log)])
    assert result.exit_code == 0, result.output
    # When they were set aside, and how long it took, differs from run to run.
    told = [orjson.loads(line) for line in letters.read_bytes().splitlines()]
    summary = orjson.loads(result.stdout)
    del summary["seconds"]
    return Replayed(
        decisions.read_bytes(),
        [{key: value for key, value in one.items() if "at" not in key} for one in told],
        summary,
    )


@pytest.fixture(scope="module")
def alone(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    return replayed(log, tmp_path_factory.mktemp("alone"))


def test_the_log_has_all_that_processes_must_meet_for(alone: Replayed) -> None:
    decisions = [orjson.loads(line) for line in alone.decisions.splitlines()]
    assert {"throttle", "review"} <= {one["action"] for one in decisions}
    assert any(
        one["scenario"] == "coordinated-sweep" and one["scope"] == "account" for one in decisions
    )
    assert len({one["evidence"]["source"]["partition"] for one in decisions}) > 2
    assert alone.dead_letters


@pytest.mark.parametrize("jobs", ["2", "3", "100", "auto"])
def test_any_number_of_processes_gives_the_same(
    jobs: str, log: Path, alone: Replayed, tmp_path: Path
) -> None:
    assert replayed(log, tmp_path, "--jobs", jobs) == alone


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_letting_the_idle_go_changes_nothing(
    jobs: str, log: Path, alone: Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRWATCH_STATE__ACCOUNTS_IN_MEMORY_MAX", "24")
    assert replayed(log, tmp_path, "--jobs", jobs) == alone


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_number_of_processes_that_is_none_is_refused(jobs: str) -> None:
    result = CliRunner().invoke(command, ["--jobs", jobs, "no-such-file"])
    assert result.exit_code == 2
    assert "--jobs" in result.output


@pytest.fixture
def setup() -> Setup:
    return Setup(load(None).detection(), "test", "requests", "links", 12, 1_000)


def judged(crew: Crew) -> int:
    crew.give([])
    return sum(outcome.judged for outcome in crew.take())


def test_a_process_that_is_killed_ends_the_others_with_one_clear_line(setup: Setup) -> None:
    with Crew(setup, 3) as crew:
        judged(crew)
        processes = list(crew._processes)
        victim = processes[1].pid
        assert victim
        os.kill(victim, signal.SIGKILL)
        processes[1].join(PATIENCE_S)
        with pytest.raises(OperatorError, match=r"a process of --jobs ended .*Killed"):
            judged(crew)
    assert not any(process.is_alive() for process in processes)


def test_what_fails_in_a_process_is_told_with_its_traceback(setup: Setup) -> None:
    broken = setup._replace(config=None)
    with Crew(broken, 2) as crew:
        processes = list(crew._processes)
        with pytest.raises(RuntimeError, match=r"in another process:\n(.|\n)*Traceback"):
            judged(crew)
    assert not any(process.is_alive() for process in processes)


def test_leaving_early_leaves_no_process_behind(log: Path) -> None:
    with Replay(load(None), "test", lambda _: None, lambda _: None, jobs=2) as replay:
        assert replay._crew
        processes = list(replay._crew._processes)
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupt_ends_all_processes_quietly() -> None:
    replaying = subprocess.Popen(
        [Path(sys.executable).with_name("pairwatch"), "replay", "--jobs", "2", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        children = _children(replaying.pid)
        os.killpg(replaying.pid, signal.SIGINT)
        _, said = replaying.communicate(timeout=PATIENCE_S)
    finally:
        replaying.kill()
    assert (replaying.returncode, said.strip()) == (130, b"pairwatch: interrupted")
    until_s = time.monotonic() + PATIENCE_S
    while any(_runs(child) for child in children):
        assert time.monotonic() < until_s, "a process goes on without its parent"
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_is_told_in_one_line(jobs: str, log: Path) -> None:
    result = CliRunner().invoke(command, ["--jobs", jobs, "--dead-letters", "/dev/full", str(log)])
    assert isinstance(result.exception, OperatorError)
    assert str(result.exception) == "/dev/full: No space left on device"


def _runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has asked about yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    """Wait until a process has started two that judge, and return their numbers."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        judging = [
            int(child)
            for child in told
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        if len(judging) == 2:
            return judging
        time.sleep(0.02)
    raise AssertionError("no processes were started")
