"""What pairwatch is made of: known weaknesses of it, and a bill of materials.

`python -m tests.supply audit TOOLS` and `python -m tests.supply sbom TOOLS OUT.json`. `TOOLS` is
the `bin` directory of an environment with the `requirements.lock` that stands beside this file:
the tools want other versions of some packages than we do.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_LOCK = Path("requirements.lock")
#: Each source answers for all packages within seconds; one that can't be reached must not hold up
#: CI for ever.
_AUDIT_TIMEOUT_S = 300.0
#: The Python Packaging Advisory Database, and Google's collection of it and others.
_SOURCES = ("osv", "pypi")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==\S+")


def audit(tools: Path) -> int:
    """Ask for known weaknesses of everything in the lock; status 1 if there are any.

    Without a source that answers nothing is audited, which is said and is no failure: machines
    without a way out would fail for ever.
    """
    for source in _SOURCES:
        answers = _ask(tools, source)
        if answers is None:
            print(f"audit: {source} can't be reached")
            continue
        audited = [each for each in answers if "vulns" in each]
        found = [
            f"{each['name']} {each['version']}: {', '.join([weak['id'], *weak['aliases']])}; "
            f"mended in {', '.join(weak['fix_versions']) or 'no version yet'}"
            for each in audited
            for weak in each["vulns"]
        ]
        if audited:
            print("\n".join(found))
            print(f"audit: {len(found)} known weaknesses in {len(audited)} packages, says {source}")
            return 1 if found else 0
        print(f"audit: {source} knows none of the packages")
    print("audit: SKIPPED, no advisory source can be reached; NOTHING WAS AUDITED")
    return 0


def _ask(tools: Path, source: str) -> list[dict[str, list[dict[str, str]]]] | None:
    """Return what a source says of each package, `None` if there is no answer."""
    command = [str(tools / "pip-audit"), "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--vulnerability-service", source]
    try:
        done = subprocess.run(
            [*command, "--requirement", str(_LOCK)],
            capture_output=True,
            text=True,
            timeout=_AUDIT_TIMEOUT_S,
            check=False,
        )
        answers: list[dict[str, list[dict[str, str]]]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return answers


def sbom(tools: Path, out: Path) -> int:
    """Write a bill (CycloneDX, JSON) of what an installed pairwatch runs on, by the lock."""
    names = _runtime()
    entries = re.split(r"\n(?=\S)", _LOCK.read_text())
    pinned = [e for e in entries if (m := _PINNED.match(e)) and canonicalize_name(m[1]) in names]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        lock = Path(directory) / "runtime.lock"
        lock.write_text("\n".join(pinned) + "\n")
        arguments = ["--pyproject", "pyproject.toml", "--mc-type", "application"]
        arguments += ["--output-reproducible", "--output-file", str(out), str(lock)]
        subprocess.run([str(tools / "cyclonedx-py"), "requirements", *arguments], check=True)
    print(f"sbom: {len(pinned)} packages in {out}")
    return 0


def _runtime() -> set[str]:
    """Return what is installed because pairwatch needs it, or needs what needs it, to run."""
    found: set[str] = set()
    waiting = [Requirement("pairwatch")]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        extras = ("", *wanted.extras)
        for text in distribution(wanted.name).requires or ():
            needed = Requirement(text)
            is_needed = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras
            )
            if is_needed and canonicalize_name(needed.name) not in found:
                waiting.append(needed)
        found.add(name)
    return found - {"pairwatch"}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["audit", tools]:
            sys.exit(audit(Path(tools)))
        case ["sbom", tools, out]:
            sys.exit(sbom(Path(tools), Path(out)))
        case _:
            sys.exit(__doc__)
