"""What the code imports is in the image, which has nothing but the declared dependencies."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.container.tools import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Packages of ours that only `pairwatch demo` and the tests import, and only when they are called.
DEMO = PROJECT["optional-dependencies"]["demo"]
MODULES = sorted(path for name in ("models", "streams") for path in (ROOT / name).rglob("*.py"))


def installed() -> set[str]:
    """Return the distributions that the dependencies bring, those of the demo among them."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in [*PROJECT["dependencies"], *DEMO]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            texts = requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        extras = [*requirement.extras, ""]
        for text in texts:
            below = Requirement(text)
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(below)
    return found


def imported(path: Path) -> set[str]:
    """Return the names of foreign packages that a module imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"models", "streams"}


DISTRIBUTIONS = packages_distributions()
INSTALLED = installed()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_are_of_packages_that_the_image_has(path: Path) -> None:
    for name in imported(path):
        brought_by = {canonicalize_name(each) for each in DISTRIBUTIONS.get(name, [])}
        assert brought_by & INSTALLED, f"{name} is no dependency in pyproject.toml"
