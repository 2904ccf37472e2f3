"""The manifests are what Kubernetes takes, and promise what the worker keeps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import load
from streams.worker import _STOP_TIMEOUT_S as STOP_TIMEOUT_S
from tests.deploy.container.test_image import final_environment
from tests.deploy.container.tools import DEPLOY, kustomize, run, tool

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("trial", "production")
#: The oldest release that is still looked after, and the newest that the schemas know.
RELEASES = ("1.31", "1.34")

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    return [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]


def base(name: str) -> Manifest:
    (manifest,) = read(KUBERNETES / "base" / name)
    return manifest


def pod(manifest: Manifest) -> Manifest:
    template: Manifest = manifest["spec"]["template"]["spec"]
    return template


def container(manifest: Manifest) -> Manifest:
    (only,) = pod(manifest)["containers"]
    return dict(only)


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An overlay as Kustomize builds it."""
    done = run(kustomize(), "build", str(KUBERNETES / "overlays" / request.param))
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp(request.param) / "manifests.yaml"
    path.write_text(done.stdout)
    return path


def by_kind(path: Path, kind: str) -> Manifest:
    (manifest,) = [manifest for manifest in read(path) if manifest["kind"] == kind]
    return manifest


@pytest.mark.parametrize("release", RELEASES)
def test_plain_manifests_fit_their_schemas(release: str) -> None:
    paths = [
        str(path)
        for path in sorted((KUBERNETES / "base").glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]
    assert len(paths) == 6
    done = run(tool("kubernetes-validate"), "--strict", "-k", release, *paths)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("release", RELEASES)
def test_overlays_build_and_fit_their_schemas(overlay: Path, release: str) -> None:
    validate = tool("kubernetes-validate")
    done = run(validate, "--strict", "-k", release, str(overlay))
    told = (done.stdout + done.stderr).splitlines()
    # The Prometheus Operator's own kind is in no schema of Kubernetes.
    strange = [line for line in told if "passed" not in line and "ServiceMonitor" not in line]
    assert (done.returncode, strange) == (0, [])


def test_settings_of_an_overlay_are_ones_that_pairwatch_has(overlay: Path, tmp_path: Path) -> None:
    (toml,) = by_kind(overlay, "ConfigMap")["data"].values()
    path = tmp_path / "pairwatch.toml"
    path.write_text(toml)
    for kind in ("StatefulSet", "Job"):
        told = {each["name"]: each.get("value", "pod-0") for each in env(by_kind(overlay, kind))}
        told.pop("PAIRWATCH_CONFIG")
        settings = load(str(path), final_environment() | told)
        assert settings.policy.mode == "shadow"
        # The image's own: where the volume is, and where the probes are.
        assert settings.state.directory.startswith("/var/lib/pairwatch/")


def env(manifest: Manifest) -> list[Manifest]:
    told: list[Manifest] = container(manifest)["env"]
    return told


def test_settings_of_the_base_are_ones_that_pairwatch_has() -> None:
    settings = load(str(KUBERNETES / "base" / "pairwatch.toml"), {})
    assert settings.policy.mode == "shadow"


def test_each_worker_keeps_its_membership_through_a_restart() -> None:
    worker = base("stateful-set.yaml")
    (identity,) = [each for each in env(worker) if each["name"] == "PAIRWATCH_KAFKA__INSTANCE_ID"]
    assert identity["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    for toml in KUBERNETES.rglob("pairwatch.toml"):
        session_s = tomllib.loads(toml.read_text())["kafka"]["session_timeout_s"]
        # The end of the old pod, and as long again for the new one.
        assert session_s >= 2 * pod(worker)["terminationGracePeriodSeconds"]


def test_a_worker_has_the_time_for_its_last_checkpoint() -> None:
    worker = base("stateful-set.yaml")
    assert pod(worker)["terminationGracePeriodSeconds"] > STOP_TIMEOUT_S


def test_probes_ask_what_the_worker_serves() -> None:
    worker = container(base("stateful-set.yaml"))
    asked = {
        name: worker[name]["httpGet"]["path"]
        for name in ("livenessProbe", "startupProbe", "readinessProbe")
    }
    # A worker that is not ready recovers state, or waits for Kafka: killing it would not help.
    assert asked == {"livenessProbe": "/live", "startupProbe": "/live", "readinessProbe": "/ready"}
    (port,) = worker["ports"]
    assert final_environment()["PAIRWATCH_METRICS__LISTEN"].endswith(f":{port['containerPort']}")


@pytest.mark.parametrize("name", ["stateful-set.yaml", "topics-job.yaml"])
def test_pods_keep_the_restricted_standard(name: str) -> None:
    manifest = base(name)
    assert pod(manifest)["securityContext"]["runAsNonRoot"]
    assert pod(manifest)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container(manifest)["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not pod(manifest)["automountServiceAccountToken"]


def test_secrets_are_referred_to_and_never_there(overlay: Path) -> None:
    kinds = {manifest["kind"] for manifest in read(overlay)}
    assert "Secret" not in kinds
    for kind in ("StatefulSet", "Job"):
        for each in env(by_kind(overlay, kind)):
            assert not each["name"].endswith(("PASSWORD", "KEY")), each["name"]


def test_a_drained_node_takes_one_worker_at_a_time() -> None:
    assert base("pod-disruption-budget.yaml")["spec"]["maxUnavailable"] == 1


def test_the_network_lets_out_names_and_kafka_and_lets_in_prometheus() -> None:
    spec = base("network-policy.yaml")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == ["metrics"]
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 9092, 9093}


def test_the_service_monitor_finds_the_workers_service() -> None:
    monitor_path = KUBERNETES / "components" / "service-monitor" / "service-monitor.yaml"
    (monitor,) = read(monitor_path)
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    service = base("service.yaml")
    (label,) = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["labels"]
    labels = service["metadata"]["labels"] | label["pairs"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
