"""A whole experiment on a tiny model: what is computed once, what must agree, what is written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sift_core
from benchmarks.fidelity import exactness, methods, settings, tables
from benchmarks.fidelity.__main__ import app
from benchmarks.fidelity.finetunings import Finetunings
from benchmarks.fidelity.population import load_population
from benchmarks.fidelity.scoring import Round, Scores, cells, rounds
from benchmarks.fidelity.settings import Experiment
from flows.errors import UsageError
from sift_core import SignVector
from tests.support import tiny
from tests.support.workspaces import reviews

SIZES = (1, 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [row for number in range(6) for row in reviews(f"reader {number:02}")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Experiment:
    model = tiny.tiny_classifier(tmp_path_factory.mktemp("model"))
    return Experiment.model_validate(
        {
            "title": "Tiny",
            "data": str(data),
            "model": str(model),
            "labels": list(tiny.LABELS),
            "max_length": 32,
            "warm_start": {"contributors": 2},
            "sizes": SIZES,
            "leaving": (1, 0.5),
            "tune_on": 2,
            "finetuning": {"learning_rate": 0.01, "steps": 2},
        }
    )


@pytest.fixture(scope="module")
def kept(
    experiment: Experiment, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finetunings:
    folder = tmp_path_factory.mktemp("cache") / "tiny"
    folder.mkdir()
    kept = Finetunings(folder, load_population(experiment, data, folder), experiment)
    assert list(kept.alone()) == list(kept.population.names)
    return kept


def quality(_weights: object) -> float:
    return 0.0


def test_public_contributors_are_never_merged(kept: Finetunings, experiment: Experiment) -> None:
    assert len(kept.population.names) == SIZES[-1]
    assert set(kept.population.train) == set(kept.population.names)


def test_a_population_that_is_too_small_is_refused(
    experiment: Experiment, data: Path, tmp_path: Path
) -> None:
    larger = experiment.model_copy(update={"sizes": (50,)})
    with pytest.raises(UsageError, match="6 contributors, the experiment takes 52"):
        load_population(larger, data, tmp_path)


def test_every_finetuning_is_done_once(kept: Finetunings) -> None:
    done = (kept.folder / "finetunings.jsonl").read_text()
    assert list(kept.alone()) == list(kept.population.names)
    assert (kept.folder / "finetunings.jsonl").read_text() == done
    assert len(done.splitlines()) == 2 * len(kept.population.names)


def test_the_stored_vector_is_the_sign_fixed_one_rounded_to_the_grid(kept: Finetunings) -> None:
    name = kept.population.names[0]
    moved = kept.sign_fixed_floats([name])[0]
    signs, shapes = SignVector(kept.experiment.sign_seed), kept.population.base.shapes
    positive = np.concatenate([signs.positive(p, shapes[p]).reshape(-1) for p in sorted(shapes)])
    assert (np.where(positive, moved, -moved) >= 0).all()
    integers = [part.reshape(-1) for _, part in kept.vector(name).integers()]
    stored = np.concatenate(integers) * 2.0**-kept.experiment.grid_bits
    np.testing.assert_allclose(stored, moved, rtol=2**-11, atol=2**-24)


@pytest.mark.parametrize("method", ["FT+Merge", "local models", "central finetuning"])
def test_a_merge_of_one_is_that_one(kept: Finetunings, method: str) -> None:
    name = kept.population.names[0]
    served = methods.METHODS[method](kept, [name], quality)
    weights = served.member(name) if served.member else served.stranger()
    for key, expected in kept.weights(kept.ordinary([name])[0]).items():
        torch.testing.assert_close(weights[key], expected)


def test_ours_and_the_papers_floats_agree_to_the_grid(kept: Finetunings) -> None:
    members, name = kept.population.names, kept.population.names[1]
    ours = methods.sift_masks(kept, members, quality)
    paper = methods.sift_masks_float(kept, members, quality)
    assert ours.member and paper.member
    for key, expected in paper.member(name).items():
        torch.testing.assert_close(ours.member(name)[key], expected, rtol=1e-3, atol=1e-5)


def test_tuning_takes_the_value_that_serves_best(kept: Finetunings) -> None:
    wanted = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    three = kept.population.names[:3]
    served = methods.tall(kept, three, lambda _: next(wanted))
    assert served.chosen == "λ = 0.3"
    assert methods.consensus(kept, three, quality).chosen.startswith("λ = 0.3,"), "not tuned again"


def test_strangers_of_every_masking_method_are_served_unmasked(kept: Finetunings) -> None:
    members = kept.population.names
    merged = methods.ft_merge(kept, members, quality).stranger()
    for key, weights in methods.tall(kept, members, quality).stranger().items():
        assert torch.equal(weights, merged[key])
    summed = methods.sift_merge(kept, members, quality).stranger()
    ours = methods.sift_masks(kept, members, quality).stranger()
    assert sift_core.weights_sha256(ours) == sift_core.weights_sha256(summed)


def test_integers_remove_to_the_bit(kept: Finetunings) -> None:
    found = exactness.compare(kept, rounds(kept.experiment))
    ours = [removal for removal in found if "integers" in removal.method]
    assert [removal.left for removal in ours] == [1, 2]
    assert all(removal.identical and removal.differing == 0 for removal in ours)


def test_an_inexact_removal_is_seen(kept: Finetunings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: one vector too few is taken away."""
    monkeypatch.setattr(Round, "departed", lambda self, names: names[: self.left - 1])
    ours, paper = exactness.compare(kept, [Round(4, 1)])
    assert not ours.identical and ours.differing > 0 and ours.largest > 0
    assert not paper.identical


def test_every_cell_is_scored_once_and_a_stopped_run_goes_on(kept: Finetunings) -> None:
    scores = Scores(kept)
    first, *others = scores.missing()
    scores.score(*first)
    again = Scores(kept)
    assert again.missing() == others
    for cell in others:
        again.score(*cell)
    assert Scores(kept).missing() == []
    expected = {(m, r.size, r.left) for m, r in cells(kept.experiment)}
    assert {(row.method, row.size, row.left) for row in again.rows} == expected
    departed = [row for row in again.rows if row.role == "departed"]
    assert {row.contributor for row in departed} == set(kept.population.names[:2])


def test_a_summary_averages_exactly_the_members_of_each_round(kept: Finetunings) -> None:
    scores = Scores(kept)
    for cell in scores.missing():
        scores.score(*cell)
    names = kept.population.names
    summary = tables.summarize(scores.rows, names, rounds(kept.experiment))
    by_hand = [
        row.value
        for row in scores.rows
        if (row.method, row.size, row.left, row.split) == ("SIFT-Masks", 4, 2, "held_in")
        and row.role == "member"
    ]
    assert len(by_hand) == 2
    chosen = summary[
        (summary.method == "SIFT-Masks")
        & (summary.left == 2)
        & (summary.split == "held_in")
        & (summary.role == "member")
    ]
    assert chosen["mean"].item() == pytest.approx(sum(by_hand) / 2)
    assert chosen["worst_decile"].item() == pytest.approx(min(by_hand))
    assert chosen["contributors"].item() == 2


def test_the_command_writes_tables_and_plots(
    experiment: Experiment, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fidelity.yaml"
    text = json.dumps({"tiny": {**experiment.model_dump(mode="json"), "sizes": [1, 2]}})
    file.write_text(text)  # JSON is YAML
    options = ["--settings-file", str(file), "--cache", str(tmp_path / "cache")]
    results, images = tmp_path / "results", tmp_path / "images"
    done = CliRunner().invoke(
        app, ["tiny", *options, "--results", str(results), "--images", str(images)]
    )

    assert done.exit_code == 0, done.output
    assert "SIFT-Masks" in done.output
    folder = results / "tiny"
    with (folder / "scores.csv").open() as scores:
        assert {row["method"] for row in csv.DictReader(scores)} == set(methods.METHODS)
    assert (
        "| SIFT-Masks, integers (ours) | 2 | 1 | 0.00% | 0 | yes |"
        in (folder / "tables.md").read_text()
    )
    for picture in ("fidelity-tiny-quality.png", "fidelity-tiny-opt-outs.png"):
        assert (images / picture).read_bytes().startswith(b"\x89PNG")

    published = (folder / "scores.csv").read_bytes()
    options[-1] = str(tmp_path / "another cache")
    one = ["--results", str(results), "--images", str(images), "--only", methods.CENTRAL]
    again = CliRunner().invoke(app, ["tiny", *options, *one])
    assert again.exit_code == 0, again.output
    assert (folder / "scores.csv").read_bytes() == published
    assert not (tmp_path / "another cache" / "tiny" / "ordinary").exists()


def test_help_gives_an_example() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert "python -m benchmarks.fidelity git_commits" in done.stdout


@pytest.mark.parametrize("name", ["tofu", "git_commits"])
def test_the_published_experiments_have_settings(name: str) -> None:
    assert settings.load(name).sizes[0] == 1


def test_an_unknown_experiment_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="tofu, git_commits"):
        settings.load("nonsense")
