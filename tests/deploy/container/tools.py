"""Programs that check what is in deploy/, in an environment of their own beside the developers'.

Their dependencies are pinned to versions that need not be ours: `tools.lock`, which
`uv pip compile --universal --python-version 3.11 --generate-hashes tools.in` makes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
_LOCK = Path(__file__).with_name("tools.lock")
_KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
#: Installing takes seconds, building a minute or two; a slow registry must not hang the run.
_INSTALL_TIMEOUT_S = 600.0
_TIMEOUT_S = 120.0


def tool(name: str) -> str:
    """Return the path of a program of `tools.lock`, installed at the first call."""
    directory = Path(sys.prefix) / "deploy-tools"
    stamp = directory / "lock.sha256"
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [str(directory / "bin/python"), *install, "--require-hashes", "-r", str(_LOCK)],
            timeout=_INSTALL_TIMEOUT_S,
            check=True,
        )
        stamp.write_text(digest)
    return str(directory / "bin" / name)


def kustomize() -> str:
    """Return the path of Kustomize: the one that is installed, or one that Go builds once.

    Where neither can be had the test is left out, and says why.
    """
    own = Path(sys.prefix) / "deploy-tools-go" / _KUSTOMIZE.rpartition("@")[2] / "kustomize"
    path = shutil.which("kustomize") or (str(own) if own.exists() else None)
    if path is not None:
        return path
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"kustomize is not installed, nor is Go to build it: go install {_KUSTOMIZE}")
    # Go checks what it downloads against its public log of checksums.
    environ = os.environ | {"GOBIN": str(own.parent)}
    build = subprocess.run(
        [go, "install", _KUSTOMIZE],
        env=environ,
        timeout=_INSTALL_TIMEOUT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    if build.returncode:  # no module proxy, or a Go that is too old
        pytest.skip(f"kustomize could not be built: {build.stderr.strip()[-500:]}")
    return str(own)


def run(
    *arguments: str, given: str | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        arguments,
        input=given,
        env=os.environ | (environ or {}),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        cwd=ROOT,
    )
