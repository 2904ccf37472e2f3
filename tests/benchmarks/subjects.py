"""What is measured: each subject as a process that reads the same events."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import orjson
from aiokafka.admin import AIOKafkaAdminClient

from streams.embedded import free_port, spawn, stop
from streams.settings import Kafka, Metrics, Settings, State, Topics
from streams.topics import create
from tests.benchmarks.measure import (
    Measurement,
    SubjectError,
    committed_by,
    cpu_seconds,
    measure_commits,
    peak_mib,
)
from tests.benchmarks.preload import KEYED, PARTITIONS, UNKEYED
from tests.benchmarks.tools import ToolsError, tools

_PROGRAMS = Path(__file__).with_name("programs")
#: As in the image (`make compiled`), and as in a checkout.
_COMPILED = Path(__file__).parents[2] / ".venv-compiled" / "bin" / "pairwatch"
#: The interpreter that has what is compiled, where there is any.
PYTHON = _COMPILED.with_name("python") if _COMPILED.exists() else Path(sys.executable)
_INTERPRETED = (sys.executable, "-c", "from streams.commands import main; main()")
_PAIRWATCH = (str(_COMPILED),) if _COMPILED.exists() else _INTERPRETED
_STOP_TIMEOUT_S = 30.0
_REPLAY_POLL_S = 0.02


@dataclass(frozen=True)
class Bench:
    """Where the subjects find their events, and where they may write."""

    bootstrap: str
    events: int
    log: Path
    directory: Path
    #: Gives a core to what is started within its block; 0 is the subjects' own, those after it are
    #: the others in turn, the broker's last.
    pin: Callable[[int], AbstractContextManager[None]]
    #: The core that it gives to subjects.
    core: int = 0

    def fresh(self) -> tuple[str, Path]:
        """Return a name that no run has had, and an empty folder."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        directory = self.directory / name
        directory.mkdir()
        return name, directory

    def next_core(self, after: int = 1) -> Bench:
        """Return the same bench for a subject on one of the cores after this one."""
        return replace(self, core=self.core + after)


@dataclass(frozen=True)
class Subject:
    """One row of the comparison."""

    name: str
    label: str
    run: Callable[[Bench], Measurement]


@contextmanager
def running(bench: Bench, arguments: list[str], directory: Path) -> Iterator[subprocess.Popen]:  # type: ignore[type-arg]
    """Run a process on the subjects' core; what it says is told if it fails."""
    said = directory / "said"
    with said.open("wb") as log, bench.pin(bench.core):
        process = spawn(arguments, log)
    try:
        yield process
    except SubjectError as error:
        last = said.read_text().strip().rpartition("\n")[2]
        raise SubjectError(f"{error}; it said last: {last or 'nothing'}") from None
    finally:
        stop(process, _STOP_TIMEOUT_S)


def _program(name: str, bench: Bench, python: str = sys.executable) -> Measurement:
    group, directory = bench.fresh()
    arguments = [python, str(_PROGRAMS / f"{name}.py"), bench.bootstrap, KEYED, group]
    if name != "bare":
        arguments.append(str(directory / "state"))
    with running(bench, arguments, directory) as process:
        return asyncio.run(watch(bench, group, KEYED, process))


async def watch(
    bench: Bench,
    group: str,
    topic: str,
    *processes: subprocess.Popen[bytes],
    on_first: Callable[[], None] = lambda: None,
) -> Measurement:
    """Measure processes by what their group commits."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    try:
        return await measure_commits(
            processes, lambda: committed_by(admin, group, topic), bench.events, on_first
        )
    finally:
        await admin.close()


@contextmanager
def worker(
    bench: Bench,
    *,
    keyed: bool,
    requests: str | None = None,
    pairwatch: Sequence[str] = _PAIRWATCH,
) -> Iterator[tuple[subprocess.Popen[bytes], Settings]]:
    """Run `pairwatch worker` with everything that is on by default, on topics of its own."""
    settings = settings_for(bench, keyed=keyed, requests=requests)
    asyncio.run(create(settings))
    with started(bench, settings, pairwatch) as process:
        yield process, settings


def settings_for(bench: Bench, *, keyed: bool, requests: str | None = None) -> Settings:
    """Return settings that no other run has."""
    name, directory = bench.fresh()
    return Settings(
        kafka=Kafka(brokers=bench.bootstrap, group=name),
        topics=Topics(
            requests=requests or (KEYED if keyed else UNKEYED),
            requests_by_account=f"{name}.by-account",
            decisions=f"{name}.decisions",
            link_activity=f"{name}.link-activity",
            notices=f"{name}.notices",
            dead_letters=f"{name}.dead-letters",
            control=f"{name}.control",
            keyed_by_account=keyed,
            partitions=PARTITIONS,
        ),
        state=State(directory=str(directory / "state")),
        metrics=Metrics(listen=f"127.0.0.1:{free_port()}"),
    )


@contextmanager
def started(
    bench: Bench, settings: Settings, pairwatch: Sequence[str] = _PAIRWATCH
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with these settings, whose topics are there."""
    directory = Path(settings.state.directory).parent
    config = directory / "pairwatch.toml"
    config.write_text(_toml(settings))
    with running(bench, [*pairwatch, "worker", "--config", str(config)], directory) as process:
        yield process


@contextmanager
def alongside(
    bench: Bench, settings: Settings
) -> Iterator[tuple[subprocess.Popen[bytes], Settings]]:
    """Run another worker of the same group, with a disk and a port of its own."""
    _, directory = bench.fresh()
    other = msgspec.structs.replace(
        settings,
        state=msgspec.structs.replace(settings.state, directory=str(directory / "state")),
        metrics=Metrics(listen=f"127.0.0.1:{free_port()}"),
    )
    with started(bench, other) as process:
        yield process, other


def _toml(settings: Settings) -> str:
    told = msgspec.to_builtins(settings)
    lines = []
    for section in ("kafka", "topics", "state", "metrics"):
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {orjson.dumps(value).decode()}"
            for key, value in told[section].items()
            if value is not None
        ]
    return "\n".join(lines)


def measure_worker(
    bench: Bench, *, keyed: bool, pairwatch: Sequence[str] = _PAIRWATCH
) -> Measurement:
    with worker(bench, keyed=keyed, pairwatch=pairwatch) as (process, settings):
        return asyncio.run(
            watch(bench, settings.kafka.group, settings.topics.accounts_source, process)
        )


def _interpreted(bench: Bench) -> Measurement:
    if _PAIRWATCH == _INTERPRETED:
        raise ToolsError("nothing is compiled that it could be told from: make compiled")
    return measure_worker(bench, keyed=True, pairwatch=_INTERPRETED)


def _replay(bench: Bench) -> Measurement:
    """Replay the file, less what it takes to replay its first line."""
    _, directory = bench.fresh()
    with bench.log.open("rb") as log:
        (directory / "one.jsonl").write_bytes(log.readline())
    _, start_cpu, _ = _replay_file(bench, directory / "one.jsonl", directory)
    seconds, cpu, memory = _replay_file(bench, bench.log, directory)
    return Measurement(bench.events, seconds, cpu - start_cpu, memory)


def _replay_file(bench: Bench, log: Path, directory: Path) -> tuple[float, float, float]:
    arguments = [*_PAIRWATCH, "replay", str(log), "--json"]
    arguments += ["--decisions", str(directory / "decisions.jsonl")]
    with running(bench, arguments, directory) as process:
        cpu, memory = asyncio.run(_watch_replay(process))
    summary = orjson.loads((directory / "said").read_bytes())
    return summary["seconds"], cpu, memory


async def _watch_replay(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    cpu = memory = 0.0
    # Asked of the kernel while it lives: of a process that has ended little can be learned.
    while process.poll() is None:
        cpu, memory = cpu_seconds(process.pid), max(memory, peak_mib(process.pid))
        await asyncio.sleep(_REPLAY_POLL_S)
    if process.returncode != 0:
        raise SubjectError(f"it ended with status {process.returncode}")
    return cpu, memory


def _quix(bench: Bench) -> Measurement:
    return _program("quix", bench, str(tools() / "python"))


BARE, NOTHING = "aiokafka", "faust"
SUBJECTS = (
    Subject(BARE, "aiokafka and orjson, nothing else", lambda bench: _program("bare", bench)),
    Subject(NOTHING, "Faust agent that does nothing", lambda bench: _program("nothing", bench)),
    Subject("quix", "Quix Streams, count per account and minute", _quix),
    Subject("worker", "pairwatch worker", lambda bench: measure_worker(bench, keyed=True)),
    Subject("worker-interpreted", "pairwatch worker, not compiled", _interpreted),
    Subject(
        "worker-rekeying",
        "pairwatch worker, re-keying first",
        lambda bench: measure_worker(bench, keyed=False),
    ),
    Subject("replay", "pairwatch replay", _replay),
)
