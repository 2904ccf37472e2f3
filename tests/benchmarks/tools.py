"""Tools of an environment of their own, so that their dependencies meet none of pairwatch's."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = ("quixstreams==3.28.1", "py-spy==0.4.3")
_INSTALL_TIMEOUT_S = 600.0


class ToolsError(RuntimeError):
    """The environment can't be made on this machine."""


def tools() -> Path:
    """Return the folder with the tools' programs; installs them where they are missing."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pairwatch"
    caches.mkdir(parents=True, exist_ok=True)
    home = caches / "-".join(["bench", *_REQUIREMENTS]).replace("==", "-")
    with (caches / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _run([sys.executable, "-m", "venv", "--clear", str(home)])
            _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *_REQUIREMENTS])
            (home / "ready").touch()
    return home / "bin"


def _run(arguments: list[str]) -> None:
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolsError(f"{' '.join(arguments)} took too long") from None
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ToolsError(f"{', '.join(_REQUIREMENTS)} can't be installed: {last}")
