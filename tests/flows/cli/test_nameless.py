"""A user id without a name, as containers have: every command works, within the workspace."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.errors import FlowError
from flows.telemetry import house_nameless
from flows.training.workers.worker import worker_home
from flows.workspace.texts import login_name
from tests.support.paths import ROOT
from tests.support.workspaces import reviews

UID = 12345
_VARIABLES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in _VARIABLES:
        monkeypatch.setenv(name, "")  # and back again afterwards, whatever is set meanwhile
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("nameless")
def test_whoever_has_no_name_is_called_by_their_number() -> None:
    assert login_name() == f"uid {os.getuid()}"


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc"])
def test_whoever_has_no_home_gets_one_in_the_workspace(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    house_nameless(tmp_path)
    assert os.environ["HOME"] == str(tmp_path / ".sift" / "home")
    assert (tmp_path / ".sift" / "home").stat().st_mode & 0o777 == 0o700
    assert login_name() == f"uid {os.getuid()}"


@pytest.mark.usefixtures("nameless")
def test_an_worker_without_a_home_says_what_to_set() -> None:
    with pytest.raises(FlowError, match="no home") as refused:
        worker_home()
    assert "SIFT_WORKER_HOME" in refused.value.remedy


def test_whoever_has_a_name_keeps_their_home(tmp_path: Path) -> None:
    before = dict(os.environ)
    house_nameless(tmp_path)
    assert dict(os.environ) == before and list(tmp_path.iterdir()) == []


@pytest.fixture
def inside() -> Iterator[Path]:
    """A folder that another user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


_COMMANDS = """
import sys
from flows.cli import main
for command in sys.argv[1].splitlines():
    sys.argv[1:] = command.split("|")
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise SystemExit(f"{command}: exit {end.code}")
"""


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root, to be somebody else"
)
@pytest.mark.slow
def test_the_commands_of_a_container_work(inside: Path, tiny_classifier: Path) -> None:
    shutil.copytree(tiny_classifier, inside / "base")
    (inside / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for who in ("ann", "bob", "eve") for row in reviews(who))
    )
    for path in (inside, *inside.rglob("*")):
        os.chown(path, UID, UID)
    workspace = f"--workspace|{inside / 'w'}"
    _become(inside, [f"init|{inside / 'w'}|--base|{inside / 'base'}|--label|bad|--label|good"])
    settings = inside / "w" / "params.yaml"
    settings.write_text(settings.read_text().replace("max_length: 256", "max_length: 64"))
    printed = _become(
        inside,
        [
            f"contributors|add|{inside / 'rows.jsonl'}|{workspace}",
            f"build|{workspace}",
            f"opt-out|request|ann|--basis|gdpr-art-17|{workspace}",
            f"opt-out|approve|opt-out-0001|--by|Jo Counsel|--reason|identity proven|{workspace}",
            f"opt-out|run|{workspace}",
            f"doctor|{workspace}",
            f"opt-out|status|opt-out-0001|--json|{workspace}",
        ],
    )
    assert f'"filed_by": "uid {UID}"' in printed


def _become(inside: Path, commands: list[str]) -> str:
    """Run commands as a user without a name; what they printed."""
    caps = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    become = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", *caps]
    done = subprocess.run(
        [*become, sys.executable, "-c", _COMMANDS, "\n".join(commands)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(inside)},
        cwd=inside,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout
