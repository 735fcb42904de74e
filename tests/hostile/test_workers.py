"""A worker: whatever it says or plants, the build ends, and lineage holds no word of it."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.integrations.staging.staging import PlantedError, RemoteAddress, Staging, StagingError
from flows.training.finetune import pending
from flows.training.workers.checks import read_manifest
from flows.training.workers.errors import QuarantinedError
from flows.training.workers.machines import admit, admitted, read_description, this_machine
from flows.training.workers.messages import ERRORS, MANIFEST
from flows.training.workers.quarantine import quarantined
from flows.training.workers.staging_area import clear, put_base
from flows.workspace.workspace import Workspace
from tests.support.manifests import EXPECTED, KEY, RUN, TASK, Given
from tests.support.pools import Act, Errand, honest
from tests.support.waiting import (
    _waiting,
    finetune_by,
    made_here,
    staged,
    vectors_and_masks,
    waiting,
    with_build,
)
from tests.support.workspaces import build_plainly, opt_out_plainly, request

__all__ = ["_waiting", "made_here", "waiting"]

RAW = "my diagnosis is none of your business"
"""A row that a worker wants to keep."""


@pytest.fixture(autouse=True)
def _bounded_time() -> Iterator[None]:
    """What hangs is a failure, not a stopped suite."""

    def late(*_: object) -> None:
        raise TimeoutError("it waits for something that a worker has planted")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# What a manifest says

FIELDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "machine": lambda m: m.update(machine=RAW),
    "machine in hexadecimal": lambda m: m.update(machine=RAW.encode().hex().ljust(64, "0")[:64]),
    "surroundings": lambda m: m.update(surroundings={"platform": RAW}),
    "packages": lambda m: m.update(surroundings={"packages": {RAW: RAW}}),
    "one more field": lambda m: m.update(note=RAW),
    "contributor": lambda m: m.update(contributor_key=RAW.encode().hex()[:32]),
    "run": lambda m: m.update(run_id=RAW.encode().hex().ljust(64, "0")[:64]),
    "dataset": lambda m: m.update(dataset_sha256=RAW.encode().hex().ljust(64, "0")[:64]),
    "base": lambda m: m.update(base_id=RAW.encode().hex().ljust(64, "0")[:64]),
    "bits of a loss": lambda m: m.update(first_loss=int.from_bytes(RAW.encode()[:6]) / 2**44),
    "a huge loss": lambda m: m.update(last_loss=1e300),
    "seconds": lambda m: m.update(seconds=float(int.from_bytes(RAW.encode()[:3]))),
    "outcome": lambda m: m.update(outcome=RAW),
    "format": lambda m: m.update(format=RAW),
    "digest": lambda m: m.update(linear_digest=[RAW]),
    "object's size": lambda m: m["vector"].update(bytes=2**47 + 1),
    "object's name": lambda m: m["mask"].update(sha256=RAW),
    "key of an object": lambda m: m["mask"].update({RAW: 1}),
}
FAILURES: dict[str, dict[str, Any]] = {
    "error": {"error": "".join(filter(str.isalpha, RAW))},
    "error in capitals": {"error": "MyDiagnosisError"},
    "error's text": {"error": "NonFiniteError", "text": RAW},
}
"""How a failure is told with words of its own."""
CASES = {**FIELDS, **FAILURES}


def manifest_of(case: str) -> bytes:
    """A manifest that is honest but for one thing."""
    if case in FAILURES:
        about = {"contributor_key": KEY, "run_id": RUN, "outcome": "failed"}
        return json.dumps({"format": "sift-manifest/1", **about, **FAILURES[case]}).encode()
    manifest = Given.honest().manifest
    FIELDS[case](manifest)
    return json.dumps(manifest).encode()


@pytest.mark.parametrize("case", CASES)
def test_no_manifest_says_a_word_of_its_own(case: str, tmp_path: Path) -> None:
    with pytest.raises(QuarantinedError) as refused:
        manifest = read_manifest(manifest_of(case), TASK, EXPECTED)
        # Sizes and digests of objects are a manifest's to say: the objects must be like them.
        Given(Given.honest().vector, Given.honest().mask, manifest.model_dump(mode="json")).counted(
            tmp_path
        )
    assert RAW not in str(refused.value) and RAW.encode().hex()[:16] not in str(refused.value)


def test_every_field_of_a_manifest_is_closed_or_bounded() -> None:
    """By its published form: no text without a list or digits of a digest, no open number."""
    schema = MANIFEST.json_schema()
    open_fields: list[str] = []

    def walk(node: dict[str, Any], name: str) -> None:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for part in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            walk(part, name)
        if "properties" in node:
            assert node["additionalProperties"] is False, name
        for field, below in node.get("properties", {}).items():
            walk(below, f"{name}.{field}")
        if "items" in node:
            walk(node["items"], f"{name}[]")
        closed = "const" in node or "enum" in node
        if node.get("type") == "string" and not closed:
            hexadecimal = str(node.get("pattern", "")).startswith(("^[0-9a-f]{", "^(0|[1-9][0-9]"))
            open_fields.extend([] if hexadecimal else [name])
        if node.get("type") in ("integer", "number"):
            least = "minimum" in node or "exclusiveMinimum" in node
            most = "maximum" in node or "exclusiveMaximum" in node
            open_fields.extend([] if least and most else [name])

    walk(schema, "manifest")
    assert open_fields == []
    assert {"NonFiniteError", "DataError"} < set(ERRORS)


DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "one more field": lambda d: d.update(hostname=RAW),
    "a package of its own": lambda d: d["packages"].update({"my-package": "1"}),
    "a version that is a text": lambda d: d["packages"].update(torch=RAW),
    "code version": lambda d: d.update(code_version=RAW),
    "line break": lambda d: d.update(platform="Linux\nx86_64"),
    "terminal": lambda d: d.update(device="\x1b[2Jcpu"),
    "long": lambda d: d.update(platform="x" * 121),
    "number": lambda d: d.update(python=3.11),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_description_that_is_not_of_its_form_is_not_admitted(case: str, tmp_path: Path) -> None:
    description = this_machine("cpu").model_dump()
    DESCRIPTIONS[case](description)
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(description))
    with pytest.raises(UsageError, match="description") as refused:
        read_description(path)
    assert RAW not in str(refused.value)


# What lies where a file or a folder should be


def _fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


def _hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside / "secret")


def _folder(path: Path, _: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "file").write_text(RAW)


TRAPS: dict[str, Callable[[Path, Path], None]] = {
    "pipe": _fifo,
    "socket": _socket,
    "link to a file": lambda path, outside: path.symlink_to(outside / "secret"),
    "link to a folder": lambda path, outside: path.symlink_to(outside),
    "link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "link to a terminal": lambda path, _: path.symlink_to("/dev/tty"),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "link to itself": lambda path, _: path.symlink_to(path.name),
    "second name of a file": _hard_link,
    "folder": _folder,
    "endless file": _sparse,
}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder that is no worker's business; as it was, when the test has ended."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("the operator's")
    (folder / "assignment.json").write_text("{}")
    yield folder
    assert sorted(path.name for path in folder.iterdir()) == ["assignment.json", "secret"]
    assert (folder / "secret").read_text() == "the operator's"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_no_file_is_never_waited_for_nor_followed(
    trap: str, remote: Path, outside: Path, tmp_path: Path
) -> None:
    staging = Staging(RemoteAddress(url=str(remote)))
    staging.put("work/out/other", b"x")
    path = remote / "workers" / "work" / "out" / "object"
    TRAPS[trap](path, outside)

    with pytest.raises((StagingError, FileNotFoundError)):
        staging.read("work/out/object", 100)
    with pytest.raises((StagingError, FileNotFoundError)):
        staging.fetch("work/out/object", tmp_path / "fetched", 100)
    assert staging.holds("work/out/object")
    assert any(found.startswith("work/out/object") for found in staging.list("work"))

    staging.put("work/out/object", b"ours")
    assert staging.read("work/out/object", 4) == b"ours"
    staging.destroy("work/out/object")
    TRAPS[trap](path, outside)
    staging.destroy("work/out/object")
    assert staging.remains() == {"work/out/other": 1}
    TRAPS[trap](path, outside)
    clear(staging)
    assert list((remote / "workers").iterdir()) == []


FOLDER_TRAPS = [name for name in TRAPS if name not in ("folder", "second name of a file")]


@pytest.mark.parametrize("where", ["work", "work/out", "base", "base/id"])
@pytest.mark.parametrize("trap", FOLDER_TRAPS)
def test_what_is_no_folder_is_never_gone_through(
    trap: str, where: str, remote: Path, outside: Path, tmp_path: Path
) -> None:
    staging = Staging(RemoteAddress(url=str(remote)))
    path = remote / "workers" / where
    path.parent.mkdir(parents=True)
    TRAPS[trap](path, outside)

    for attempt in (
        lambda: staging.read(f"{where}/secret", 100),
        lambda: staging.put(f"{where}/planted", b"x"),
        lambda: staging.list(where),
    ):
        with pytest.raises(PlantedError):
            attempt()
    assert not staging.holds(f"{where}/secret")
    staging.destroy(f"{where}/secret")
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"weights")
    clear(staging)
    put_base(staging, model, "id")
    assert staging.list() == {"base/id/weights": 7}


@pytest.mark.parametrize("trap", FOLDER_TRAPS)
def test_an_area_that_is_no_folder_is_an_error_and_not_an_empty_one(
    trap: str, remote: Path, outside: Path
) -> None:
    """An opt-out must not take it for clean."""
    TRAPS[trap](remote / "workers", outside)
    staging = Staging(RemoteAddress(url=str(remote)))
    for attempt in (
        staging.list,
        staging.names,
        staging.remains,
        lambda: staging.holds("secret"),
        lambda: staging.destroy("secret"),
        lambda: staging.put("work/x", b"x"),
    ):
        with pytest.raises(PlantedError):
            attempt()


def test_depth_and_number_cost_no_more_than_their_own(remote: Path) -> None:
    staging = Staging(RemoteAddress(url=str(remote)))
    staging.put("work/out/x", b"x")
    folder = os.open(remote / "workers" / "work", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    for number in range(2000):
        (remote / "workers" / "work" / "out" / str(number)).touch()

    with pytest.raises(PlantedError, match="more than 1000"):
        staging.list("work/out", 1000)
    clear(staging)
    assert list((remote / "workers").iterdir()) == []


# A whole build, and an opt-out after it


def planting(trap: str, outside: Path, where: Callable[[Errand], list[str]]) -> Act:
    """A worker that does its work, and puts a trap in place of something."""

    def act(errand: Errand) -> None:
        honest(errand)
        for path in where(errand):
            errand.staging.destroy(path)
            target = Path(errand.remote.url) / "workers" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            TRAPS[trap](target, outside)

    return act


def manifests(errand: Errand) -> list[str]:
    return [path for path in errand.given_back if path.endswith(".json")]


def objects(errand: Errand) -> list[str]:
    return [path for path in errand.given_back if not path.endswith(".json")]


def out(errand: Errand) -> list[str]:
    return [f"{errand.assignment}/out"]


def saying(case: str) -> Act:
    """A worker that does its work, and says something else."""

    def act(errand: Errand) -> None:
        honest(errand)
        for path in manifests(errand):
            manifest = json.loads(errand.staging.read(path, 1 << 20))
            FIELDS[case](manifest)
            errand.staging.put(path, json.dumps(manifest).encode())

    return act


def naming(errand: Errand) -> None:
    """A worker that writes a row into the names of files and folders, wherever it can."""
    for folder in (errand.assignment, f"{errand.assignment}/out", "base", f"base/{RAW} too"):
        errand.staging.put(f"{folder}/{RAW}", RAW.encode())
    errand.staging.put(f"{RAW}/{RAW}", RAW.encode())
    (Path(errand.remote.url) / "workers" / f"{RAW} again").mkdir(exist_ok=True)


@pytest.mark.slow
def test_a_build_ends_whatever_workers_plant_or_say_and_lineage_holds_none_of_it(
    waiting: Workspace, made_here: dict[str, bytes], outside: Path
) -> None:
    acts: list[Act] = [naming]
    acts += [planting(trap, outside, manifests) for trap in ("pipe", "link to a device", "folder")]
    acts += [planting(trap, outside, objects) for trap in ("pipe", "link to a file", "socket")]
    acts += [planting(trap, outside, out) for trap in ("link to a folder", "pipe")]
    acts += [saying(case) for case in ("machine", "packages", "bits of a loss")]
    with_build(waiting, attempts=len(acts) + 1, shard_size=len(made_here))

    finetune_by(waiting, *acts, honest)

    assert pending(waiting) == []
    assert vectors_and_masks(waiting) == made_here
    assert staged(waiting) == {}
    assert {row.reason for row in quarantined(waiting)} == {
        "ManifestError",
        "ObjectIrregularError",
    }
    assert RAW.encode() not in (waiting.root / "lineage.duckdb").read_bytes()


@pytest.mark.slow
def test_what_workers_left_is_gone_after_an_opt_out_and_stands_in_no_record_of_it(
    waiting: Workspace, outside: Path
) -> None:
    finetune_by(waiting)
    build_plainly(waiting.root)
    staging = Staging(RemoteAddress.of(waiting.dvc))
    naming(Errand(RemoteAddress.of(waiting.dvc), "f" * 32, "", waiting.root))
    area = Path(RemoteAddress.of(waiting.dvc).url) / "workers"
    for trap, plant in TRAPS.items():
        plant(area / f"{RAW} {trap}", outside)
    removal = request(waiting, "reader 01")

    opt_out_plainly(waiting.root, removal.request_id)

    assert staging.remains() == {} and list(area.iterdir()) == []
    kept = [waiting.root / "lineage.duckdb", *(waiting.reports.rglob("*.*"))]
    assert not [path for path in kept if RAW.encode() in path.read_bytes()]


def test_only_an_admitted_machine_is_worked_for(
    waiting: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.training.workers import worker
    from flows.training.workers.errors import WorkersFailedError

    other = this_machine("cpu").model_copy(update={"platform": "Linux riscv64 an abacus"})
    monkeypatch.setattr(worker, "this_machine", lambda device: other)
    with_build(waiting, attempts=1)

    with pytest.raises(WorkersFailedError, match="its machine is not admitted"):
        finetune_by(waiting)
    admit(waiting, other)
    assert set(admitted(waiting)) == {other.machine_id}
    finetune_by(waiting)

    assert pending(waiting) == []
    with waiting.lineage.reader() as reader:
        run = reader.run(reader.task_vectors()[0].run_id)
        assert reader.environment(run.environment_id).platform == "Linux riscv64 an abacus"
