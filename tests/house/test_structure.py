"""The structure of the code: small folders, no import cycles, unique class names, docstrings."""

import ast
import re
from collections import defaultdict

import pytest
from support.paths import ROOT

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
MAX_MODULES = 30
DUPLICATE_NAMES: dict[str, str] = {}
"""Class names that are allowed in two modules, each with the reason; at most five."""

FILES = sorted(
    path
    for path in (ROOT / "seqit").rglob("*.py")
    if path.relative_to(ROOT).parts[1] not in ("schemas", "examples")
)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text("utf-8")) for path in FILES}


def imports_of(name):
    """Yield the modules of seqit that a module imports, also inside functions."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqit"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in TREES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in TREES)


def test_all_modules_are_parsed():
    assert len(TREES) > 380


def test_class_names_are_unique():
    modules_by_class = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                modules_by_class[node.name].append(name)
    assert len(modules_by_class) > 300
    duplicates = {name: modules for name, modules in modules_by_class.items() if len(modules) > 1}
    assert duplicates.keys() == DUPLICATE_NAMES.keys(), duplicates
    assert len(DUPLICATE_NAMES) <= 5


def test_there_are_no_import_cycles():
    state: dict[str, str] = {}

    def visit(name, path):
        if state.get(name) == "done":
            return
        assert state.get(name) != "open", " → ".join([*path[path.index(name) :], name])
        state[name] = "open"
        for imported in imports_of(name):
            if imported != name:
                visit(imported, [*path, name])
        state[name] = "done"

    for name in TREES:
        visit(name, [])


def test_no_folder_has_too_many_modules():
    folders = defaultdict(list)
    for path in FILES:
        folders[path.parent].append(path.name)
    sizes = {str(folder): len(names) for folder, names in folders.items()}
    assert max(sizes.values()) <= MAX_MODULES, sizes


@pytest.mark.parametrize("name", TREES)
def test_every_module_has_a_docstring(name):
    assert ast.get_docstring(TREES[name]), name


def test_the_tests_mirror_the_package():
    """Check that a folder of tests has the path of a folder of seqit, with a few exceptions."""
    exceptions = {"support", "cases", "house", "recipes"}
    for folder in (ROOT / "tests").rglob("*"):
        parts = folder.relative_to(ROOT / "tests").parts
        if folder.is_dir() and parts[0] not in exceptions and "__pycache__" not in parts:
            assert ROOT.joinpath("seqit", *parts).is_dir(), folder


def test_the_map_shows_every_package():
    picture = re.findall(r"[a-z_]+(?=/)", ARCHITECTURE.replace("decontamina-", "decontamination/"))
    packages = {path.parent.name for path in FILES if path.name == "__init__.py"} - {"seqit"}
    assert packages <= set(picture)


def test_the_paths_on_the_map_exist():
    for path in re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:\.py)?)/?`", ARCHITECTURE):
        places = [*ROOT.glob(f"seqit/{path}*"), *ROOT.glob(f"seqit/*/{path}*"), *ROOT.glob(path)]
        assert places, path
