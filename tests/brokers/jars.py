"""Apache Kafka's jars, fetched once by Maven and kept outside the checkout."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_POM = Path(__file__).with_name("pom.xml")
_JAVA_MIN = 17
#: 45 MB of jars; a slow mirror needs minutes, a dead one must not hold up a test run for ever.
_FETCH_TIMEOUT_S = 600.0


def classpath() -> str:
    """Return the Java class path of Apache Kafka; fetches the jars if this machine lacks them.

    Two runs at once wait for each other, and a run that dies half way leaves nothing that a later
    one would take for whole.
    """
    version = re.search(r"<kafka\.version>(.+?)<", _POM.read_text())
    assert version is not None, f"{_POM} names no Kafka version"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pairwatch"
    caches.mkdir(parents=True, exist_ok=True)
    cache = caches / f"kafka-{version[1]}"
    with (caches / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.is_dir():
            with tempfile.TemporaryDirectory(dir=caches) as unfinished:
                _fetch(Path(unfinished) / "jars")
                (Path(unfinished) / "jars").rename(cache)
    return f"{cache}/*"


def java() -> str:
    """Return the path of a Java that runs Apache Kafka 4."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin" if home else None)
    told = _run([path, "-version"]).stderr if path else ""
    version = re.search(r'version "(\d+)', told)
    if path is None or version is None or int(version[1]) < _JAVA_MIN:
        raise RuntimeError(
            f"Apache Kafka needs Java {_JAVA_MIN} or later and this machine has "
            f"{version[1] if version else 'none'}: install openjdk-17-jre-headless and maven, "
            "or name brokers to use with PAIRWATCH_TEST_BROKERS=host:port"
        )
    return path


def _fetch(directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise RuntimeError("Apache Kafka's jars come by Maven, which is missing: install maven")
    done = _run(
        [
            *(maven, "--quiet", "--batch-mode", "--file", str(_POM)),
            *("dependency:copy-dependencies", f"-DoutputDirectory={directory}"),
        ]
    )
    if done.returncode != 0:
        raise RuntimeError(f"Maven could not fetch Apache Kafka:\n{done.stdout}{done.stderr}")


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
    )
