import json
import os
import subprocess
import sys

import lineage
from tests.support.paths import ROOT


def test_the_package_knows_nothing_of_the_method_and_its_tools() -> None:
    program = "import json, sys, lineage; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in json.loads(ended.stdout)}
    assert not loaded & {"torch", "prefect", "dvc", "mlflow", "sift_core", "flows"}


def test_the_facade_has_all_it_promises() -> None:
    assert list(lineage.__all__) == sorted(lineage.__all__)
    assert all(hasattr(lineage, name) for name in lineage.__all__)


def test_every_query_file_is_used() -> None:
    code = "".join(path.read_text() for path in (ROOT / "lineage").rglob("*.py"))
    names = [path.stem for path in (ROOT / "lineage" / "queries").glob("*.sql")]
    assert [name for name in names if f'"{name}"' not in code] == []
