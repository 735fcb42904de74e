"""A LoRA adapter per contributor: exact like full weights, small, and served by PEFT alone."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from flows.errors import UsageError
from flows.evidence.export import export
from flows.evidence.verification import verify
from flows.integrations.mlflow.card import MEMBERS_FILE
from flows.models.served_files import served_digests
from flows.serving.errors import AlteredError
from flows.serving.loading import BASE_VARIABLE
from flows.serving.model import SiftModel
from flows.training.base_model import hub_id
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from sift_core import StoredWeights, lora, weights_sha256
from tests.support import tiny, worlds
from tests.support.damage import flip_a_byte
from tests.support.sift import Sift
from tests.support.workspaces import (
    CONTRIBUTORS,
    Rows,
    build_plainly,
    merge_bytes,
    opt_out_plainly,
    questions,
    record,
    request,
    reviews,
)
from tests.support.worlds import Changes, digests, require_never_there, version

PEOPLE = CONTRIBUTORS[:3]
LEAVER, MEMBER = PEOPLE[1], PEOPLE[0]
ADAPTER = {"rank": 4, "alpha": 16, "targets": "all-linear"}


def world(
    root: Path,
    source: Path,
    rows: Iterable[Rows],
    changes: Changes | None = None,
    labels: tuple[str, ...] = (),
) -> Workspace:
    """A built workspace whose contributors train adapters."""
    own = changes or {}
    wanted = {**own, "finetune": {"adapter": ADAPTER, **own.get("finetune", {})}}
    return worlds.world(root, source, rows, wanted, labels)


@pytest.fixture(scope="module")
def _adapted(tmp_path_factory: pytest.TempPathFactory, tiny_causal: Path) -> Workspace:
    root = tmp_path_factory.mktemp("adapted") / "workspace"
    return world(root, tiny_causal, map(questions, PEOPLE))


@pytest.fixture
def adapted(_adapted: Workspace) -> Workspace:
    """To look at, not to change."""
    return Workspace.open(_adapted.root)


def test_an_opt_out_ends_in_the_bytes_of_a_world_without_the_leaver(
    tmp_path: Path, tiny_causal: Path
) -> None:
    left = world(tmp_path / "left", tiny_causal, map(questions, (MEMBER, LEAVER)))
    request(left, LEAVER)
    opt_out_plainly(left.root)
    never = world(tmp_path / "never", tiny_causal, [questions(MEMBER)])
    require_never_there(left, never)


def test_a_version_holds_adapters_alone_and_names_its_base(adapted: Workspace) -> None:
    folder = version(adapted)
    assert sorted(digests(folder)) == [lora.CONFIG_FILE, lora.WEIGHTS_FILE]
    held = sorted(path.relative_to(folder.parent).parts[0] for path in folder.parent.rglob("*"))
    assert set(held) == {"served", "members", "card.json"}
    card = json.loads((folder.parent / "card.json").read_text())
    assert card["base_id"] == current_state(adapted).base_id and card["base_model"] is None
    served = served_digests(adapted, current_state(adapted), len(PEOPLE))
    names = list(StoredWeights(folder.parent / MEMBERS_FILE))
    assert all(lora.is_factor(name) for name in names) and len(names) == 14
    assert weights_sha256(StoredWeights(folder).only(names)) == served.anyone
    assert weights_sha256(StoredWeights(folder.parent / MEMBERS_FILE)) == served.members


def logits(model: torch.nn.Module, workspace: Workspace) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([[4, 20, 30, 11]])).logits
    return found


@pytest.mark.parametrize("who", [None, MEMBER])
def test_what_is_exported_is_what_mlflow_serves_and_peft_alone_loads_it(
    adapted: Workspace, tmp_path: Path, who: str | None
) -> None:
    export(adapted, tmp_path / "adapter", who, "Partner Ltd", "pilot")
    export(adapted, tmp_path / "merged", who, "Partner Ltd", "pilot", merged=True)

    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(adapted.base)

    exported = PeftModel.from_pretrained(base(), tmp_path / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()

    model = SiftModel()
    folder = version(adapted).parent
    from flows.integrations.mlflow.card import ModelCard

    model.load(version(adapted), ModelCard.read(folder / "card.json"), folder / MEMBERS_FILE)
    with model.version.asking(model.version.addressees([who or ""])) as asked:
        served = logits(asked.fresh(), adapted)
    assert torch.equal(logits(exported, adapted), served)
    torch.testing.assert_close(logits(merged, adapted), served, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits(base().eval(), adapted), served)
    asked = pd.DataFrame({"prompt": ["what colour is the film ?"]})
    answer = model.predict(None, asked, {"contributor": who or "", "max_new_tokens": 4})
    assert list(answer.columns) == ["completion"]


def test_a_version_is_served_where_its_base_is_and_nowhere_else(
    adapted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.integrations.mlflow.card import ModelCard

    card = ModelCard.read(version(adapted).parent / "card.json")
    elsewhere = card.model_copy(update={"workspace": str(tmp_path)})
    with pytest.raises(AlteredError, match=BASE_VARIABLE):
        SiftModel().load(version(adapted), elsewhere)
    copy = shutil.copytree(adapted.base, tmp_path / "copy")
    monkeypatch.setenv(BASE_VARIABLE, str(copy))
    SiftModel().load(version(adapted), elsewhere)
    flip_a_byte(copy / "model.safetensors")
    with pytest.raises(AlteredError, match="is not the base model"):
        SiftModel().load(version(adapted), elsewhere)


def test_an_altered_projection_is_found(tmp_path: Path, tiny_causal: Path) -> None:
    workspace = world(tmp_path / "w", tiny_causal, [questions(MEMBER), questions(LEAVER)])
    path = version(workspace) / lora.WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    data[start] ^= 1  # of the first tensor, an A
    path.write_bytes(data)
    (failed,) = (check for check in verify(workspace).checks if not check.passed)
    assert failed.name == "champion" and "frozen projections" in failed.found


def test_settings_are_options_of_init(tmp_path: Path, tiny_causal: Path, sift: Sift) -> None:
    options = ["--adapter", "rank=8", "--adapter", "targets=q_proj,v_proj"]
    assert sift("init", tmp_path / "films", "--base", tiny_causal, *options).code == 0
    chosen = Workspace.open(tmp_path / "films").settings.finetune.adapter
    assert chosen is not None
    assert (chosen.rank, chosen.alpha, chosen.targets) == (8, 32, ("q_proj", "v_proj"))
    for wrong, why in (
        ("rank", "is not one NAME=VALUE"),
        ("rank=0", "finetune.adapter.rank"),
        ("ranks=8", "finetune.adapter.ranks: there is no such setting"),
    ):
        sift("init", tmp_path / "other", "--adapter", wrong).refused(2, why)
        assert not (tmp_path / "other").exists()


def test_full_weights_are_not_merged_again(fresh: Workspace, sift: Sift) -> None:
    build_plainly(fresh.root)
    with pytest.raises(UsageError, match="trains no adapters"):
        export(fresh, fresh.root.parent / "out", None, merged=True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("org/name", "org/name"), ("name", "name"), ("./name", None), ("a/b/c", None)],
)
def test_a_base_has_the_id_that_it_was_fetched_by(
    adapted: Workspace, source: str, expected: str | None
) -> None:
    assert hub_id(adapted.settings.base.model_copy(update={"source": source})) == expected


TOGETHER: dict[str, Changes] = {
    "masks only": {"storage": {"keep": "masks"}},
    "streamed": {"base": {"streamed": True}, "removal_audit": {"relearning_steps": 0}},
    "bfloat16 base": {"base": {"dtype": "bfloat16"}},
    "bfloat16 products": {"finetune": {"precision": "bf16"}},
    "activations computed twice": {"finetune": {"gradient_checkpointing": True}},
    "two processes": {"finetune": {"processes": 2}},
    "some layers": {"finetune": {"train_only": ["*.layers.1.*"]}},
    "the paper's mean": {"exactness": {"member_mean": "all"}},
}
"""Settings that stand beside `finetune.adapter`."""


@pytest.mark.slow
@pytest.mark.parametrize("changes", TOGETHER.values(), ids=TOGETHER.keys())
def test_adapters_go_with_every_other_setting(
    tmp_path: Path, tiny_causal: Path, changes: Changes
) -> None:
    left = world(tmp_path / "left", tiny_causal, map(questions, PEOPLE), changes)
    request(left, LEAVER)
    opt_out_plainly(left.root)
    rest = (questions(who) for who in PEOPLE if who != LEAVER)
    never = world(tmp_path / "never", tiny_causal, rest, changes)
    assert merge_bytes(left) == merge_bytes(never)
    assert digests(version(left)) == digests(version(never))
    verify(left).require()


@pytest.mark.slow
def test_a_classifiers_head_and_withdrawn_records_go_with_adapters(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    rows = [reviews(who) for who in PEOPLE]
    left = world(tmp_path / "left", tiny_classifier, rows, labels=tiny.LABELS)
    given = rows[1][:2]
    request(left, LEAVER, records=[record(left, row) for row in given])
    opt_out_plainly(left.root)
    rows[1] = rows[1][2:]
    never = world(tmp_path / "never", tiny_classifier, rows, labels=tiny.LABELS)
    require_never_there(left, never)
