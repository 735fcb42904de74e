"""Running the command line in this process, as `sift` does."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _prefect_home_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `sift build` points Prefect into the workspace by a variable, which must not outlive the test.
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
