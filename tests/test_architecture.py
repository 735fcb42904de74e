"""flows → lineage, flows → sift_core; never back, never across (docs/architecture.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

OURS = {"flows", "lineage", "sift_core"}
WORK = {"prefect", "dvc", "dvc_data", "dvc_objects", "mlflow", "openlineage"}
FORBIDDEN = {
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
