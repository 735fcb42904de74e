"""What the benchmark of serving measures is served, and what the docs show is its result."""

from pathlib import Path

import pytest

from benchmarks.documents import marked
from benchmarks.figures import read_figures
from benchmarks.serving import DOCUMENT, NAME, RESULTS, loaded, make_version, name_of, table
from flows.serving.members import size_of
from sift_core import prepare_base
from tests.support import tiny


def test_a_drawn_version_is_one_that_is_served(tmp_path: Path) -> None:
    source = tiny.tiny_causal(tmp_path / "source")
    prepare_base(str(source), tmp_path / "base", (), 0, 32)
    card = make_version(tmp_path / "version", tmp_path / "base", members=20)
    model = loaded(tmp_path / "version", card, 1 << 20)
    keys = model.version.addressees([name_of(0), name_of(16), name_of(1), "nobody we know"])
    assert None not in keys[:3] and keys[3] is None
    first, linked, other = (model.version.members.weights(str(key)) for key in keys[:3])
    assert all((first[name] == linked[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
    assert model.version.members.bytes_kept == 3 * size_of(first)
    assert model.version.mixes


@pytest.mark.skipif(not RESULTS.is_file(), reason="nothing was measured yet")
def test_the_docs_show_the_figures_that_are_committed() -> None:
    assert marked(NAME, table(read_figures(RESULTS))) in DOCUMENT.read_text(encoding="utf-8")
