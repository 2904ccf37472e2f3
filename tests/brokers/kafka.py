"""Apache Kafka for tests: a cluster of one node or several (KRaft) that can be stopped and killed.

All calls block. In an asynchronous test whose own clients must go on meanwhile, use
`await asyncio.to_thread(kafka.stop)`; a node that was *started* in a thread dies with that thread,
so start nodes from the test itself.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path

from streams.embedded import free_port, spawn, stop
from tests.brokers.jars import classpath, java

#: A node is up after 4 s on two idle cores; three at once on busy ones need many times that.
_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0
#: The last of several nodes has no quorum left to take its leave of, and would wait for minutes.
_CLUSTER_STOP_TIMEOUT_S = 2.0
_READY = "Kafka Server started"
_JVM = (
    *("-Xms128m", "-Xmx384m"),  # three nodes beside a worker on a small machine
    *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),  # up sooner; nobody measures this broker
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # says when it is ready
)


@dataclass(frozen=True)
class Security:
    """What a node is told besides: listeners that let in only whom they know.

    Parameters
    ----------
    listeners
        Their names and ports.
    properties
        Lines of the node's configuration.
    """

    listeners: dict[str, int] = field(default_factory=dict)
    properties: str = ""
    format_arguments: tuple[str, ...] = ()
    jvm_arguments: tuple[str, ...] = ()


class KafkaNode:
    """One node, broker and controller in one, with its data below `directory`."""

    def __init__(self, node_id: int, directory: Path, security: Security | None = None) -> None:
        self.node_id = node_id
        self.security = security or Security()
        self.port, self.controller_port = free_port(), free_port()
        self.log = directory / "server.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log_seen = 0

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the process lives; it may not answer yet."""
        return self._process is not None and self._process.poll() is None

    def format(self, cluster_id: str, nodes: list[KafkaNode]) -> None:
        """Write the node's configuration and empty its storage for a new cluster."""
        self._directory.mkdir(parents=True)
        configuration = self._directory / "server.properties"
        configuration.write_text(_properties(self, nodes, self._directory / "data"))
        # With `=`, as an id may begin with a dash.
        arguments = (
            *("format", f"--cluster-id={cluster_id}", "--config", str(configuration)),
            *self.security.format_arguments,
        )
        with self.log.open("wb") as log:
            done = subprocess.run(
                [java(), *_JVM, "-cp", classpath(), "kafka.tools.StorageTool", *arguments],
                stdout=log,
                stderr=log,
                timeout=_READY_TIMEOUT_S,
                check=False,
            )
        assert done.returncode == 0, self.log.read_text()

    def launch(self) -> None:
        """Start the process; `await_ready` tells when it serves."""
        assert not self.is_running, f"node {self.node_id} runs already"
        self._log_seen = self.log.stat().st_size
        configuration = str(self._directory / "server.properties")
        with self.log.open("ab") as log:
            self._process = spawn(
                [
                    *(java(), *_JVM, *self.security.jvm_arguments),
                    *("-cp", classpath(), "kafka.Kafka", configuration),
                ],
                log,
            )

    def await_ready(self) -> None:
        """Wait until the node has joined its cluster and serves clients."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while _READY not in (said := self.log.read_text()[self._log_seen :]):
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka node {self.node_id} did not start:\n{said[-10_000:]}")
            time.sleep(0.05)

    def start(self) -> None:
        """Start the node on the data it has, and wait until it serves."""
        self.launch()
        self.await_ready()

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Shut the node down in order; does nothing to one that is down."""
        if self._process is not None:
            stop(self._process, timeout_s)

    def terminate(self) -> None:
        """Ask the node to shut down, and don't wait for it."""
        if self._process is not None:
            self._process.terminate()

    def signal(self, number: signal.Signals) -> None:
        """Send the node a signal: SIGSTOP makes it silent without closing a connection."""
        assert self._process is not None
        self._process.send_signal(number)

    def fill_disk(self) -> None:
        """Let no file of the node grow any more; ends with the process."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (1, 1))

    def kill(self) -> None:
        """End the node at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class KafkaCluster:
    """A cluster of nodes; calls without a node's name reach all of them."""

    kind = "kafka"

    def __init__(self, directory: Path, nodes: int = 1, security: Security | None = None) -> None:
        self.nodes = [
            KafkaNode(number, directory / str(number), security) for number in range(1, nodes + 1)
        ]
        # Kafka writes an id as URL-safe base64 without padding.
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for node in self.nodes:
            node.format(cluster_id, self.nodes)

    @property
    def bootstrap(self) -> str:
        """The nodes' addresses, for `kafka.brokers`."""
        return ",".join(node.address for node in self.nodes)

    @property
    def is_running(self) -> bool:
        """Whether every node's process lives."""
        return all(node.is_running for node in self.nodes)

    def start(self) -> None:
        """Start the nodes that are down, and wait until they serve."""
        down = [node for node in self.nodes if not node.is_running]
        for node in down:
            node.launch()  # all before waiting for any: one alone has no quorum
        for node in down:
            node.await_ready()

    def stop(self) -> None:
        """Shut every node down, as far as that goes in order."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop(_STOP_TIMEOUT_S if len(self.nodes) == 1 else _CLUSTER_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End every node at once."""
        for node in self.nodes:
            node.kill()


def _properties(node: KafkaNode, nodes: list[KafkaNode], data: Path) -> str:
    voters = ",".join(f"{n.node_id}@127.0.0.1:{n.controller_port}" for n in nodes)
    copies = min(3, len(nodes))
    more = "".join(f",{name}://127.0.0.1:{port}" for name, port in node.security.listeners.items())
    return f"""\
process.roles=broker,controller
node.id={node.node_id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://{node.address},CONTROLLER://127.0.0.1:{node.controller_port}{more}
advertised.listeners=PLAINTEXT://{node.address}{more}
log.dirs={data}
# Production brokers seldom create topics by themselves, so a forgotten topic must fail here.
auto.create.topics.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
# Tests wait for nobody: groups form at once, short sessions are allowed, failover takes seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.threads=1
num.network.threads=2
num.io.threads=2
{node.security.properties}
"""
