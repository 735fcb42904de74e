from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.errors import UsageError
from flows.workspace.settings_file import load_settings, read_stores, write_settings
from flows.workspace.workspace import template

TEMPLATE = template("params.yaml")


def changed(tmp_path: Path, section: str, field: str, value: Any) -> Path:
    document = YAML(typ="safe").load(TEMPLATE)
    document[section][field] = value
    path = tmp_path / "params.yaml"
    YAML(typ="safe").dump(document, path)
    return path


def comments(path: Path) -> list[str]:
    return [line.partition("# ")[2] for line in path.read_text().splitlines() if "# " in line]


def test_the_template_is_valid_and_copying_it_keeps_its_comments(tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    write_settings(TEMPLATE, target, {"model": {"name": "films"}, "base": {}})
    assert load_settings(target).model.name == "films"
    assert comments(target) == comments(TEMPLATE) != []


@pytest.mark.parametrize("written", ["1e-4", "0.0001", "1.0e-4", "'1e-4'"])
def test_a_learning_rate_may_be_written_in_any_usual_way(tmp_path: Path, written: str) -> None:
    path = tmp_path / "params.yaml"
    text = TEMPLATE.read_text()
    path.write_text(text.replace("learning_rate: 0.0001", f"learning_rate: {written}"))
    assert load_settings(path).finetune.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("section", "field", "value", "complaint"),
    [
        ("finetune", "learning_rat", 1e-4, "finetune.learning_rat: there is no such setting"),
        ("finetune", "learning_rate", "1e-4x", "finetune.learning_rate: "),
        ("finetune", "learning_rate", 0, "finetune.learning_rate: "),
        ("finetune", "learning_rate", float("nan"), "finetune.learning_rate: "),
        ("finetune", "learning_rate", float("inf"), "finetune.learning_rate: "),
        ("finetune", "steps", 2.5, "finetune.steps: "),
        ("finetune", "steps", "many", "finetune.steps: "),
        ("finetune", "steps", -1, "finetune.steps: "),
        ("finetune", "device", "gpu", "finetune.device: "),
        ("finetune", "train_only", [], "finetune.train_only: "),
        ("exactness", "grid_bits", 61, "exactness.grid_bits: "),
        ("exactness", "sign_seed", None, "exactness.sign_seed: "),
        ("base", "streamed", True, "with base.streamed, removal_audit.relearning_steps must be 0"),
        ("base", "shard_size", "2 gigs", "base.shard_size: "),
        ("finetune", "precision", "fp16", "finetune.precision: "),
        ("base", "labels", ["only"], "base.labels: a classifier needs two labels or more"),
        ("base", "labels", ["a", "a"], "base.labels: a label is there twice"),
        ("base", "labels", "fresh", "base.labels: "),
        ("base", "warm_start", {"data": "x"}, "base.warm_start.name: this setting is missing"),
        ("data", "held_out", 1.0, "data.held_out: "),
        ("storage", "keep", "nothing", "storage.keep: "),
        ("data", "min_rows", 1, "data.min_rows: "),
        ("model", "name", "../x", "model.name: "),
        ("model", "name", "x\n", "model.name: "),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    tmp_path: Path, section: str, field: str, value: Any, complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(changed(tmp_path, section, field, value))
    assert complaint in caught.value.facts and "Value error" not in caught.value.facts
    with pytest.raises(UsageError):
        write_settings(TEMPLATE, tmp_path / "new.yaml", {section: {field: value}})
    assert not (tmp_path / "new.yaml").exists()


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    changes = {"finetune": {"steps": -1, "adapter": {"rank": 0}}, "data": {"min_rows": 1}}
    with pytest.raises(UsageError) as caught:
        write_settings(TEMPLATE, tmp_path / "new.yaml", changes)
    assert [part.partition(": ")[0] for part in caught.value.facts.split("; ")] == [
        "data.min_rows",
        "finetune.adapter.rank",
        "finetune.steps",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "7", "- a", "model:\n  name: films\n", "model: [", "a: 1\na: 2\n", "\t", "model: films"],
)
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"params\.yaml"):
        load_settings(path)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"model:\n  name: caf\xe9\n")
    with pytest.raises(UsageError, match="is not YAML"):
        load_settings(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lineage", "postgresql://sift:secret@host/lineage"),
        ("lineage", "postgresql://sift@host/lineage?password=secret"),
        ("mlflow_database", "postgresql://sift:secret@host/mlflow"),
        ("remote_endpoint", "https://id:secret@host"),
    ],
)
def test_a_password_is_refused_and_not_repeated(tmp_path: Path, field: str, value: str) -> None:
    others = {"mlflow": "https://host", "remote": "s3://bucket/prefix"}
    with pytest.raises(UsageError, match=f"stores.{field}: a password does not belong") as refused:
        write_settings(
            template("params.yaml"), tmp_path / "p.yaml", {"stores": {**others, field: value}}
        )
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("lineage", "mysql://host/lineage", "lineage"),
        ("remote", "/a/folder", "remote"),
        ("remote_endpoint", "https://host", "remote is null"),
        ("mlflow_database", "postgresql://host/mlflow", "mlflow is null"),
    ],
)
def test_a_store_that_could_not_be_one_is_refused(
    tmp_path: Path, field: str, value: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        write_settings(TEMPLATE, tmp_path / "p.yaml", {"stores": {field: value}})


def test_shared_stores_are_read_from_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "stores.yaml"
    path.write_text("stores:\n  remote: s3://bucket/films\n")
    target = tmp_path / "params.yaml"
    write_settings(TEMPLATE, target, {"stores": read_stores(path)})
    assert load_settings(target).stores.remote == "s3://bucket/films"
    assert comments(target) == comments(TEMPLATE)


@pytest.mark.parametrize("text", ["remote: s3://bucket", "stores: s3://bucket", "- 1", "{", ""])
def test_a_file_that_is_no_section_of_stores_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stores.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"stores\.yaml"):
        read_stores(path)
