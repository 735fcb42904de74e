"""What does not count is kept with its reason, done again, and destroyed by an opt-out."""

import json
from collections.abc import Callable

import pytest

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.finetune import jobs, pending
from flows.training.workers import worker
from flows.training.workers.errors import ContradictionError, SpotCheckError, WorkersFailedError
from flows.training.workers.machines import admit, this_machine
from flows.training.workers.quarantine import quarantined
from flows.workspace.workspace import Workspace
from tests.support.pools import Errand, honest
from tests.support.waiting import NAMES, finetune_by, staged, vectors_and_masks, with_build
from tests.support.workspaces import build_plainly, opt_out_plainly, request


def tampering(change: Callable[[bytes], bytes], what: str = "vector") -> Callable[[Errand], None]:
    """A worker that changes one file of everything that it gives back."""

    def act(errand: Errand) -> None:
        honest(errand)
        out = f"{errand.assignment}/out"
        for path in errand.given_back:
            if path.endswith(".json"):
                named = json.loads(errand.staging.read(path, 1 << 20))[what]["sha256"]
                data = errand.staging.read(f"{out}/{named}", 1 << 30)
                errand.staging.put(f"{out}/{named}", change(data))

    return act


def lying(**claims: object) -> Callable[[Errand], None]:
    """A worker whose manifests say something else."""

    def act(errand: Errand) -> None:
        honest(errand)
        for path in errand.given_back:
            if path.endswith(".json"):
                manifest = json.loads(errand.staging.read(path, 1 << 20))
                errand.staging.put(path, json.dumps({**manifest, **claims}).encode())

    return act


def other_arithmetic(errand: Errand) -> None:
    """A worker whose training is another one: everything it gives back is valid."""
    train = worker.finetune_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            worker, "finetune_rows", lambda method, base, rows: train(method, base, rows[1:])
        )
        honest(errand)


def test_what_does_not_count_is_quarantined_with_its_reason_and_done_again(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    finetune_by(waiting, tampering(lambda data: data[:-1]), honest)

    rows = quarantined(waiting)
    assert {row.contributor_key for row in rows} == {waiting.key_of(name) for name in NAMES}
    assert {row.reason for row in rows} == {"ObjectAlteredError"}
    assert {row.what for row in rows} == {"manifest", "mask", "vector"}
    assert len(list(waiting.quarantine.glob("*.bin"))) == len(rows)
    assert vectors_and_masks(waiting) == made_here
    assert staged(waiting) == {}


@pytest.mark.slow
def test_a_contributor_whose_results_never_count_stops_the_build_and_names_the_reason(
    waiting: Workspace,
) -> None:
    with pytest.raises(WorkersFailedError, match="DigestError, then DigestError, then DigestError"):
        finetune_by(waiting, lying(linear_digest=["1", "2"]))
    assert len(pending(waiting)) == len(NAMES)
    assert vectors_and_masks(waiting) == {}


@pytest.mark.slow
def test_a_spot_check_finds_a_valid_vector_of_another_training(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    with_build(waiting, spot_check=len(NAMES))
    finetune_by(waiting, other_arithmetic, honest)

    assert {row.reason for row in quarantined(waiting)} == {SpotCheckError.__name__}
    assert vectors_and_masks(waiting) == made_here


@pytest.mark.slow
def test_without_a_spot_check_such_a_vector_counts_as_the_docs_say(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    finetune_by(waiting, other_arithmetic)
    assert quarantined(waiting) == []
    assert vectors_and_masks(waiting) != made_here


@pytest.mark.slow
@pytest.mark.parametrize("same_environment", [True, False])
def test_a_shard_done_twice_with_other_bits_is_an_error_with_a_name(
    waiting: Workspace, monkeypatch: pytest.MonkeyPatch, same_environment: bool
) -> None:
    from flows.training.workers import assignments

    other = this_machine("cpu").model_copy(update={"device": "another card"})
    admit(waiting, other)
    collect = assignments._Giver._manifest
    seen: set[str] = set()

    def second_time(giver: object, handed: object, key: str) -> bytes:
        data = collect(giver, handed, key)  # type: ignore[arg-type]
        if key not in seen:
            seen.add(key)
            return data
        manifest = json.loads(data)
        manifest["vector"]["sha256"] = "9" * 64
        if not same_environment:
            manifest["machine"] = other.machine_id
        return json.dumps(manifest).encode()

    monkeypatch.setattr(assignments._Giver, "_manifest", second_time)
    if same_environment:
        with pytest.raises(ContradictionError):
            finetune_by(waiting)
    else:
        finetune_by(waiting)

    assert pending(waiting) == []  # what came first counts
    assert {row.reason for row in quarantined(waiting)} == {"OtherBitsError"}


@pytest.mark.slow
def test_a_shard_done_twice_with_the_same_bits_changes_nothing(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    def act(errand: Errand) -> None:
        honest(errand)
        honest(errand)

    finetune_by(waiting, act)
    assert vectors_and_masks(waiting) == made_here
    assert quarantined(waiting) == []


@pytest.mark.slow
def test_an_opt_out_destroys_quarantined_bytes_of_all_and_what_workers_left_over(
    waiting: Workspace,
) -> None:
    finetune_by(waiting, tampering(lambda data: data + b"!", "mask"), honest)
    build_plainly(waiting.root)
    staging = Staging(RemoteAddress.of(waiting.dvc))
    staging.put("f" * 32 + "/assignment.json", b"{}")
    staging.put("f" * 32 + "/out/" + "e" * 64, b"a vector of a killed build")
    leaver = waiting.key_of(NAMES[1])
    removal = request(waiting, NAMES[1])

    opt_out_plainly(waiting.root, removal.request_id)

    assert staged(waiting) == {}
    assert list(waiting.quarantine.glob("*.bin")) == []
    assert leaver not in {row.contributor_key for row in quarantined(waiting)}
    assert len({row.contributor_key for row in quarantined(waiting)}) == len(NAMES) - 1
    report = json.loads((waiting.reports / removal.request_id / "report.json").read_text())
    gone = [row for row in report["destroyed"] if row["place"] == "workers"]
    # Two of the killed build, and the base model, over which a worker may have written anything.
    assert len(gone) > 2 and all(row["absent_at"] for row in gone)
    assert staging.remains() == {}
    assert len(jobs(waiting)) == len(NAMES) - 1
