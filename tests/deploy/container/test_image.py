"""The image is built from the lock file and nothing else, and runs as nobody in particular."""

from __future__ import annotations

import re
import shlex

from packaging.requirements import Requirement

from streams.settings import load
from tests.deploy.container.tools import DEPLOY, ROOT, run, tool

DOCKERFILE = DEPLOY / "container" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continued lines joined, without comments."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    parted = [line.partition(" ") for line in lines if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in parted]


def final_stage() -> list[tuple[str, str]]:
    every = instructions()
    last = max(at for at, (name, _) in enumerate(every) if name == "FROM")
    return every[last:]


def final_environment() -> dict[str, str]:
    told = [shlex.split(rest) for name, rest in final_stage() if name == "ENV"]
    return dict(pair.split("=", 1) for some in told for pair in some)


def test_hadolint_finds_nothing_to_complain_about() -> None:
    done = run(tool("hadolint"), "--failure-threshold", "style", str(DOCKERFILE))
    assert done.returncode == 0, done.stdout


def test_every_package_is_installed_by_hash_from_the_lock() -> None:
    installs = [
        command
        for name, rest in instructions()
        if name == "RUN"
        for command in rest.split("&&")
        if "uv pip install" in command and "--no-deps" not in command
    ]
    assert installs
    for command in installs:
        assert "--require-hashes" in command
        assert "--constraint requirements.lock" in command


def test_the_lock_pins_the_builder_too() -> None:
    pinned = {
        Requirement(line.removesuffix("\\").strip()).name
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if re.match(r"\w", line)
    }
    assert {"hatchling", "mypy", "setuptools"} <= pinned


def test_it_runs_as_a_user_by_number_who_is_not_root() -> None:
    (user,) = [rest for name, rest in final_stage() if name == "USER"]
    number, _, group = user.partition(":")
    assert int(number) > 0
    assert int(group) > 0


def test_no_build_tool_reaches_the_final_stage() -> None:
    copied = [rest for name, rest in final_stage() if name in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/pairwatch /opt/pairwatch"]


def test_all_that_is_written_goes_into_the_volume() -> None:
    (volume,) = [rest for name, rest in final_stage() if name == "VOLUME"]
    settings = load(environ=final_environment())
    assert settings.state.directory.startswith(f"{volume}/")


def test_probes_can_be_reached_from_outside_the_container() -> None:
    (port,) = [rest for name, rest in final_stage() if name == "EXPOSE"]
    assert load(environ=final_environment()).metrics.listen == f"0.0.0.0:{port}"


def test_what_the_image_is_built_from_is_all_that_is_sent_to_the_builder() -> None:
    ignore = DEPLOY / "container" / "Dockerfile.dockerignore"
    sent = {line[1:] for line in ignore.read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert sent == copied
    assert all((ROOT / name).exists() for name in sent)
