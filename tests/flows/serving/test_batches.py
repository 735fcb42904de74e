"""A batch may mix contributors: each row is answered as it would be alone with its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import UsageError
from flows.integrations.mlflow.model_folder import write_model
from flows.serving.members import KEPT_VARIABLE
from flows.serving.model import SiftModel
from sift_core import Adapter
from tests.support.served import MEMBERS, Served, finished_merge, loaded

PEOPLE = ("Ann Lee", "bob@example.org", "cyd", "dee")
STRANGER = "a stranger"
NOBODY = ("", None, np.nan)
WORDS = ("good", "awful", "the film was very good", "who lives in the red city ?", "sad and dull")
VERSIONS = ("classifier", "classifier, adapters", "generator", "generator, adapters")

ROWS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from((*PEOPLE, STRANGER, *NOBODY))),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path, tiny_causal: Path
) -> Callable[[str], Served]:
    """A version of each kind, made once."""
    made: dict[str, Served] = {}

    def get(kind: str) -> Served:
        if kind not in made:
            root = tmp_path_factory.mktemp("version") / "workspace"
            task = "classification" if kind.startswith("classifier") else "generation"
            source = tiny_classifier if task == "classification" else tiny_causal
            adapter = Adapter(4, 16, ("all-linear",), 1) if "adapters" in kind else None
            made[kind] = finished_merge(root, source, task, PEOPLE, adapter)
        return made[kind]

    return get


@pytest.fixture(scope="module")
def model(make: Callable[[str], Served]) -> Callable[[str], SiftModel]:
    """The loaded model of each kind, used by all tests that change nothing."""
    known: dict[str, SiftModel] = {}
    return lambda kind: known.setdefault(kind, loaded(make(kind)))


def asked(model: SiftModel, rows: pd.DataFrame, who: Any = None) -> pd.DataFrame:
    params = {"max_new_tokens": 4} if model.card.task == "generation" else {}
    return model.predict(None, rows, params | ({} if who is None else {"contributor": who}))


def require_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """The same words; scores but for the rounding that padding brings along, as ever."""
    assert list(found.columns) == list(wanted.columns)
    for column in found:
        if column == "score":
            np.testing.assert_allclose(found[column], wanted[column], rtol=1e-5)
        else:
            assert list(found[column]) == list(wanted[column])


@pytest.mark.parametrize("kind", VERSIONS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_each_row_is_answered_in_its_place_as_it_is_alone(
    kind: str, model: Callable[[str], SiftModel], rows: list[tuple[str, Any]]
) -> None:
    texts, who = zip(*rows, strict=True)
    batch = pd.DataFrame(
        {"text": texts, "contributor": list(who)},
        index=range(100, 100 + len(rows)),
    )
    found = asked(model(kind), batch)
    assert list(found.index) == list(batch.index)
    alone = [
        asked(model(kind), pd.DataFrame({"text": [text]}), "" if one in NOBODY else one)
        for text, one in rows
    ]
    require_same(found.reset_index(drop=True), pd.concat(alone, ignore_index=True))


@pytest.mark.parametrize("kind", VERSIONS)
def test_members_are_answered_otherwise_than_nobody(
    kind: str, model: Callable[[str], SiftModel]
) -> None:
    column = "score" if kind.startswith("classifier") else "completion"
    rows = pd.DataFrame({"text": list(WORDS)})
    nobody = asked(model(kind), rows)[column]
    for member in PEOPLE:
        assert not asked(model(kind), rows.assign(contributor=member))[column].equals(nobody)
    assert asked(model(kind), rows.assign(contributor=STRANGER))[column].equals(nobody)


def test_one_version_serves_adapters_mixed_and_weights_by_contributor(
    model: Callable[[str], SiftModel],
) -> None:
    keys = model("classifier").version.addressees(["cyd", "", "dee", "cyd"])
    assert model("classifier, adapters").version.mixes
    together = model("classifier, adapters").version.together(keys, 3, mixed=True)
    assert list(together) == [[0, 1, 2], [3]]
    together = model("classifier").version.together(keys, 3, mixed=True)
    assert list(together) == [[0, 3], [1], [2]]


@pytest.mark.parametrize("kind", VERSIONS)
@pytest.mark.parametrize("sets", [0, 1, 2])
def test_memory_for_fewer_members_changes_no_answer(
    kind: str,
    sets: int,
    make: Callable[[str], Served],
    model: Callable[[str], SiftModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = pd.DataFrame({"text": [*WORDS] * 2, "contributor": ([*PEOPLE, None] * 2)[::-1]})
    wanted = asked(model(kind), rows)
    bits = make(kind).masks[PEOPLE[0]].bits.values()
    most = sets * sum(4 * own.size for own in bits)
    monkeypatch.setenv(KEPT_VARIABLE, str(most))
    small = loaded(make(kind))
    require_same(asked(small, rows), wanted)
    assert small.version.members.bytes_kept <= most


def test_a_column_and_the_parameter_are_refused_together(served: Served) -> None:
    rows = pd.DataFrame({"text": ["good"], "contributor": [MEMBERS[0]]})
    with pytest.raises(UsageError, match="column 'contributor' and a parameter 'contributor'"):
        asked(loaded(served), rows, MEMBERS[1])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["text", "contributer"], "no use for a column 'contributer'"),
        (["text", "contributor", "contributor"], "two columns 'contributor'"),
        (["text", "text"], "two columns 'text'"),
    ],
)
def test_a_column_that_means_nothing_is_refused(
    served: Served, columns: list[str], words: str
) -> None:
    rows = pd.DataFrame([["good", *["Ann Lee"] * (len(columns) - 1)]], columns=columns)
    with pytest.raises(UsageError, match=words):
        asked(loaded(served), rows)


@pytest.mark.parametrize("cell", [7, "../x", "-rf", " ", "😀"])
def test_a_cell_that_is_no_id_is_refused(served: Served, cell: Any) -> None:
    rows = pd.DataFrame({"text": ["good", "bad"], "contributor": ["Ann Lee", cell]})
    with pytest.raises(UsageError, match="contributor id"):
        asked(loaded(served), rows)


def test_through_mlflow_a_column_names_contributors_and_is_optional(
    served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    write_model(folder, "films", served.weights, served.card, "0" * 32, "m-" + "0" * 32)
    through, own = mlflow.pyfunc.load_model(str(folder)), loaded(served)
    rows = pd.DataFrame({"text": ["good", "bad", "good"], "contributor": ["Ann Lee", None, ""]})
    assert through.predict(rows).equals(asked(own, rows))
    texts = rows[["text"]]
    assert through.predict(texts).equals(asked(own, texts))
    assert through.predict(texts, {"contributor": "Ann Lee"}).equals(asked(own, texts, "Ann Lee"))
