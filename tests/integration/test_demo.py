"""The demo, as somebody runs it who has never heard of pairwatch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.decision import Decision
from streams.demo.stage import PARTITIONS, POLICY
from streams.gateway.read import LoggedRequest
from streams.replay import Replay
from streams.settings import Settings, Topics
from streams.simulate import World, simulate

#: As few as the simulator makes; the copy comes on top, with most of the events.
ACCOUNTS = 100
SEED = 3
ENDS_WITHIN_S = 90.0


class Demo:
    """A demo that runs; `children` are the broker and the worker."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        self.children: list[int] = []

    def await_events(self) -> None:
        """Return once the worker judges."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "events/s" in line:
                break
        self.children = children_of(self.process.pid)
        assert len(self.children) == 2

    def end(self) -> tuple[int, str, str]:
        """Return status, output and errors once it has ended, and assert that nothing is left."""
        out, errors = self.process.communicate(timeout=ENDS_WITHIN_S)
        assert not [pid for pid in self.children if is_alive(pid)]
        assert list(self.temporary.iterdir()) == []
        return self.process.returncode, out, errors


@contextmanager
def running_demo(temporary: Path) -> Iterator[Demo]:
    program = "from streams.commands import main; main()"
    options = ["--json", "--accounts", str(ACCOUNTS), "--seed", str(SEED)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A cluster's settings in the caller's environment are not for the demo.
        env={**os.environ, "TMPDIR": str(temporary), "PAIRWATCH_KAFKA__BROKERS": "127.0.0.1:1"},
    )
    try:
        yield Demo(process, temporary)
    finally:
        process.kill()  # its children can't outlive it
        process.communicate()


def children_of(parent: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return [pid for pid, ppid in pairs if ppid == parent]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def replayed(world: World) -> list[Decision]:
    """Return what a replay of the same week decides."""
    decisions: list[Decision] = []
    settings = Settings(topics=Topics(partitions=PARTITIONS), policy=POLICY)
    bad: Callable[[object], None] = pytest.fail
    replay = Replay(settings, "0", decisions.append, bad)
    log = (LoggedRequest(event, "week", line) for line, event in enumerate(world.events(), 1))
    replay.run(log, lambda: None)
    return decisions


def test_the_summary_agrees_with_the_labels_and_with_a_replay_of_the_week(tmp_path: Path) -> None:
    world = simulate("saturday-night", seed=SEED, accounts=ACCOUNTS)
    with running_demo(tmp_path) as demo:
        demo.await_events()
        decisions = replayed(world)  # meanwhile, on another core
        status, out, _ = demo.end()
    assert status == 0
    summary = json.loads(out)

    labels = {label.account_id: label for label in world.labels}
    copiers = {name for name, label in labels.items() if not label.honest}
    assert summary["accounts"] == len(labels)
    assert summary["catalogue_size"] == world.catalogue_size
    assert summary["decisions"] == len(decisions)

    assert {attacker["account_id"] for attacker in summary["attackers"]} == copiers
    for attacker in summary["attackers"]:
        label = labels[attacker["account_id"]]
        assert 0 < attacker["pairs_unhindered"] <= label.pairs_total
        mine = [decision for decision in decisions if decision.value == attacker["account_id"]]
        for action, told in (("throttle", "throttled"), ("ban", "banned")):
            issued_at = [decision.issued_at for decision in mine if decision.action == action]
            assert (attacker[told] or {}).get("at") == next(iter(issued_at), None)
        assert attacker["throttled"]["after_s"] < 120
        assert 0 < attacker["throttled"]["pairs"] < attacker["pairs_unhindered"]
    assert 0 < summary["pairs_at_ban"] <= summary["pairs_unhindered"]

    others = summary["others"]
    touched = {each.value for each in decisions if each.scope == "account"} - copiers
    assert others["accounts"] == len(labels) - len(copiers)
    assert others["touched"] == len(touched)
    days = {(event.account_id, int(event.ts // 86_400)) for event in world.events()}
    assert others["account_days"] == sum(name not in copiers for name, _ in days)
    assert others["touched"] <= others["touched_days"] <= len(decisions)
    assert sum(sum(counts.values()) for counts in others["by_kind"].values()) == len(touched)


def test_ctrl_c_leaves_nothing_running_and_says_so_in_one_line(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.await_events()
        demo.process.send_signal(signal.SIGINT)
        status, out, errors = demo.end()
    assert (status, out) == (130, "")
    assert errors.splitlines()[-1] == "pairwatch: stopped; nothing is left running"
    assert "Traceback" not in errors


def test_a_worker_that_dies_ends_the_demo_with_its_last_words(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.await_events()
        os.kill(max(demo.children), signal.SIGKILL)  # the worker starts after the broker
        status, out, errors = demo.end()
    assert (status, out) == (2, "")
    assert "gateway.requests" in errors  # what the worker says it reads
    assert errors.splitlines()[-1] == "pairwatch: the worker ended by signal 9"
