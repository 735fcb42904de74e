"""What is kept of a machine goes with the last vector that was made there, and comes back."""

from lineage import EnvironmentRecord, FinetuningRecord, Store
from tests.support.population import BASE, ENVIRONMENT, at, contribute, finetuning, run_id, sha

ELSEWHERE = ENVIRONMENT.model_copy(update={"environment_id": sha("there"), "platform": "an abacus"})


def _finetuned_elsewhere(store: Store) -> None:
    """Ada here, Bob on another machine."""
    with store.writer() as recorder:
        recorder.add_all([BASE, ENVIRONMENT, ELSEWHERE])
        contribute(recorder, "ada", "first", 1)
        contribute(recorder, "bob", "first", 1)
        (run, *_) = finetuning("bob", "first", 2)
        assert isinstance(run, FinetuningRecord)
        recorder.add(run.model_copy(update={"environment_id": ELSEWHERE.environment_id}))


def _environment(store: Store, environment_id: str) -> EnvironmentRecord:
    with store.reader() as reader:
        return reader.environment(environment_id)


def test_an_environment_is_forgotten_with_its_last_vector_and_no_other_is(store: Store) -> None:
    _finetuned_elsewhere(store)
    with store.writer() as recorder:
        assert recorder.forget_environments(at(3)) == []
        recorder.mark_artifacts_destroyed(at(4), runs=[run_id("bob", "first")])
        assert recorder.forget_environments(at(4)) == [ELSEWHERE.environment_id]
        assert recorder.forget_environments(at(5)) == []

    assert _environment(store, ENVIRONMENT.environment_id) == ENVIRONMENT
    gone = _environment(store, ELSEWHERE.environment_id)
    said = gone.model_dump(exclude={"environment_id", "forgotten_at"})
    assert set(said.values()) == {None} and gone.forgotten_at == at(4)
    with store.reader() as reader:
        assert reader.run(run_id("bob", "first")).environment_id == ELSEWHERE.environment_id


def test_what_was_forgotten_comes_back_with_a_new_finetuning_there(store: Store) -> None:
    _finetuned_elsewhere(store)
    with store.writer() as recorder:
        recorder.mark_artifacts_destroyed(at(4), runs=[run_id("bob", "first")])
        recorder.forget_environments(at(4))
        recorder.add(ELSEWHERE)

    assert _environment(store, ELSEWHERE.environment_id) == ELSEWHERE
