"""Imports go down only: between the packages, and between the rooms of `flows`."""

import ast
import graphlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import lineage
import sift_core
from tests.support.paths import ROOT

ORDER = [
    "cli",
    "operations",
    "flows",
    "ui",
    "erasure.steps",
    "evidence",
    "erasure",
    "models",
    "training",
    "serving",
    "data",
    "workspace",
    "integrations",
    "base",
]
"""The rooms of `flows`, the highest first: `flows` are the Prefect flows themselves, `base` what
everything uses; the steps of an opt-out stand above evidence, which the last of them writes.
docs/architecture.md shows the same list."""
FLOWS = {"audit", "build", "deadlines", "opt_out"}
WORK = {"prefect", "dvc", "dvc_data", "dvc_objects", "mlflow", "openlineage"}
FORBIDDEN = {
    "sift_bytes": {"flows", "lineage", "sift_core", "duckdb", "torch", "numpy", "typer"} | WORK,
    "sift_core": {"flows", "lineage", "duckdb", "typer"} | WORK,
    "lineage": {"flows", "sift_core", "torch", "transformers", "numpy", "typer"} | WORK,
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def module_of(file: Path) -> str:
    """The dotted name of one of our files."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_of(file): file
    for package in ("sift_bytes", "sift_core", "lineage", "flows")
    for file in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(module: str) -> set[str]:
    """The modules of ours that a module imports, wherever in it, for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return (found & MODULES.keys()) - {module}


def room_of(module: str) -> str:
    """Where in the order a module of `flows` stands."""
    _, _, within = module.partition(".")
    if within.startswith("erasure.steps"):
        return "erasure.steps"
    room, _, _ = within.partition(".")
    if room in FLOWS:
        return "flows"
    return room if (ROOT / "flows" / room).is_dir() and room else "base"


def test_imports_go_down_from_room_to_room() -> None:
    rank = {room: number for number, room in enumerate(ORDER)}
    upward = {
        (module, below)
        for module in MODULES
        for below in imports_of(module)
        if module.startswith("flows") and below.startswith("flows")
        if rank[room_of(below)] < rank[room_of(module)]
    }

    assert upward == set()


def test_no_imports_go_round_in_a_circle() -> None:
    graph = {module: imports_of(module) for module in MODULES}

    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


def test_every_room_is_in_the_order_and_the_page_shows_it() -> None:
    rooms = {path.name for path in (ROOT / "flows").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(ORDER) - {"flows", "erasure.steps", "base"}
    assert {name for name in FLOWS if (ROOT / "flows" / f"{name}.py").is_file()} == FLOWS
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- order -->\n```\n(.*?)```", page, re.S)
    assert [line.split()[0] for line in shown.splitlines()] == ORDER


def test_at_most_ten_files_lie_in_flows_itself() -> None:
    assert len(list((ROOT / "flows").glob("*.py"))) <= 10


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_what_its_package_must_not_know(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))

    assert files
    found = {file.name: imported(file) & FORBIDDEN[package] for file in files}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_importing_a_package_brings_in_nothing_forbidden(package: str) -> None:
    """Through others' imports neither: a new process tells what was really loaded."""
    code = f"import sys, {package}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    assert package in loaded
    # What our dependencies load among themselves is theirs; torch brings numpy, say.
    assert loaded & FORBIDDEN[package] == set()


def test_only_integrations_talk_to_the_stores() -> None:
    """The model file is run by MLflow itself; all else goes by an integration."""
    found = {
        file.relative_to(ROOT / "flows").as_posix()
        for file in sorted((ROOT / "flows").rglob("*.py"))
        if imported(file) & (WORK - {"prefect"})
    }

    assert "serving/model.py" in found
    inside = {name for name in found if name.startswith("integrations/")}
    assert len(inside) > 5
    assert found - inside == {"serving/model.py"}


def test_help_needs_no_heavy_library() -> None:
    """The command line answers at once: torch, Prefect and the stores come when they are needed."""
    code = "import sys, flows.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert {"torch", "transformers", *WORK} & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    "module", ["flows.erasure.plan", "flows.erasure.approvals", "flows.build", "flows.opt_out"]
)
def test_who_plans_is_refused_or_has_nothing_to_do_waits_for_no_model(module: str) -> None:
    """Nor for Prefect, where no server is named, nor for MLflow: they take seconds to import."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    heavy = {"torch", "transformers", "peft", "prefect", "mlflow", "pandas", "scipy"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("package", [lineage, sift_core])
def test_every_public_name_of_a_package_is_there(package: ModuleType) -> None:
    assert {name for name in package.__all__ if not hasattr(package, name)} == set()
    modules = {one.name for one in pkgutil.iter_modules(package.__path__)}
    assert modules & set(package.__all__) <= {"opt_out"}, "an import would put the module there"
