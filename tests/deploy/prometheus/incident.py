"""The simulated incident, watched by a real Prometheus with the rules that operators get."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.decision import Decision
from streams.demo.play import Progress, play
from streams.demo.stage import WorkerFailedError, stage
from streams.embedded import free_port
from streams.simulate import simulate
from tests.deploy.enforcement.programs import ROOT, program, running

_CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
#: Few, so that it is over soon; the two who copy come on top, with most of the events.
_ACCOUNTS = 300
_SEED = 3
#: Told for longer than a moment: whatever else fires with it has done so, too.
_TOLD = 'count_over_time(ALERTS{{alertname="{}", alertstate="firing", severity="page"}}[5m]) > 1'
#: A minute is promised; the rest is for a machine that has other work to do.
_TOLD_WITHIN_S = 120.0
_POLL_S = 0.5
_STEP_S = 5

Series = list[Mapping[str, Any]]


@dataclass
class Prometheus:
    """A Prometheus that runs."""

    url: str

    def _ask(self, path: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode(parameters, doseq=True)
        return json.loads(_read(f"{self.url}{path}?{query}"))["data"]

    def now(self, expr: str) -> Series:
        """Return what a query comes to now."""
        found: Series = self._ask("/api/v1/query", query=expr)["result"]
        return found

    def between(self, expr: str, begin_s: float, end_s: float) -> Series:
        """Return what a query came to over a span of time."""
        span = {"start": begin_s, "end": end_s, "step": _STEP_S}
        found: Series = self._ask("/api/v1/query_range", query=expr, **span)["result"]
        return found

    def series(self, selector: str, begin_s: float, end_s: float) -> Series:
        """Return the labels of all series in a span of time."""
        span = {"start": begin_s, "end": end_s}
        found: Series = self._ask("/api/v1/series", **{"match[]": selector}, **span)
        return found

    def fired(self, begin_s: float, end_s: float) -> set[str]:
        """Return the alerts that fired at some time in a span."""
        found = self.between('ALERTS{alertstate="firing"}', begin_s, end_s)
        return {each["metric"]["alertname"] for each in found}


@dataclass
class Incident:
    """What was seen of it; times are Unix seconds of this machine's clock.

    Parameters
    ----------
    prometheus
        Still running.
    exposition
        The worker's metrics, after the last event.
    begun_s, first_decision_s, stopped_s
        When Prometheus had found the worker, when the first decision could be read, and when the
        worker was stopped.
    ended_s
        When the last alert that must come had come, or when nobody waited for it any longer.
    """

    prometheus: Prometheus
    exposition: str = ""
    begun_s: float = 0.0
    first_decision_s: float = 0.0
    stopped_s: float = 0.0
    ended_s: float = 0.0

    def progressed(self, progress: Progress) -> None:
        """Watch the worker's progress."""

    def decided(self, _: Decision) -> None:
        """Learn of a decision."""
        self.first_decision_s = self.first_decision_s or time.time()


@contextmanager
def watched_incident(directory: Path) -> Iterator[Incident]:
    """Play the incident and stop the worker; Prometheus goes on until the block ends."""
    port, workers = free_port(), directory / "workers.json"
    config = yaml.safe_load(_CONFIG.read_text())
    # All as an operator has it, but for the addresses of the others.
    config["rule_files"] = [str(_CONFIG.parent / pattern) for pattern in config["rule_files"]]
    del config["alerting"], config["scrape_configs"][0]["dns_sd_configs"]
    config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(workers)]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = [
        program("prometheus", "prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(arguments, directory / "prometheus.log", port):
        incident = Incident(Prometheus(f"http://127.0.0.1:{port}"))
        asyncio.run(_play(incident, workers))
        _wait_for(incident.prometheus, _TOLD.format("NoProgress"))
        incident.ended_s = time.time()
        yield incident


async def _play(incident: Incident, workers: Path) -> None:
    world = simulate("saturday-night", seed=_SEED, accounts=_ACCOUNTS)
    async with stage() as ready:
        listen = ready.settings.metrics.listen
        await asyncio.to_thread(workers.write_text, json.dumps([{"targets": [listen]}]))
        await _wait_meanwhile(incident.prometheus, "pairwatch_partitions_assigned > 0")
        incident.begun_s = time.time()
        try:
            await play(ready, world, world.labels, incident)
        except WorkerFailedError as error:
            error.add_note("\n".join(error.log))
            raise
        await _wait_meanwhile(incident.prometheus, _TOLD.format("CopyingUnderWay"))
        incident.exposition = await asyncio.to_thread(_read, f"http://{listen}/metrics")
        incident.stopped_s = time.time()


async def _wait_meanwhile(prometheus: Prometheus, expr: str) -> None:
    await asyncio.to_thread(_wait_for, prometheus, expr)


def _wait_for(prometheus: Prometheus, expr: str) -> None:
    """Wait until a query comes to something; the tests say what is missing if it does not."""
    deadline = time.monotonic() + _TOLD_WITHIN_S
    while not prometheus.now(expr) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own worker
        text: bytes = answer.read()
    return text.decode()
