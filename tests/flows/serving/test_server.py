"""`sift serve` from within: what it answers to whom, and that it follows the champion."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from flows.integrations.servers.guard import Guard
from flows.serving.answering import answer
from flows.serving.app import VERSION_HEADER, application
from flows.serving.champion import Champion, NoChampionError, Serving
from flows.serving.errors import AlteredError
from flows.workspace.served_versions import served_folder, servers, taking
from flows.workspace.workspace import Workspace
from tests.support.workspaces import another, build_plainly, opt_out_plainly, request

ADDRESS, KEY = "127.0.0.1:8000", "the key"
ANN, BOB = "ann", "bob"
TEXTS = ["the film was very good", "awful dull story"]


@pytest.fixture(scope="module")
def _two(tmp_path_factory: pytest.TempPathFactory, _fresh: Path) -> Path:
    workspace = another(_fresh, tmp_path_factory.mktemp("two") / "films")
    build_plainly(workspace.root)
    return workspace.root


@pytest.fixture
def two(tmp_path: Path, _two: Path) -> Workspace:
    """A built workspace of two contributors, to change at will."""
    return another(_two, tmp_path / "films")


def client(champion: Champion, **more: Any) -> TestClient:
    guarded = Guard(application(champion), [ADDRESS], key=KEY)
    return TestClient(guarded, f"http://{ADDRESS}", **more)


@pytest.fixture
def champion(two: Workspace) -> Iterator[Champion]:
    with taking(two.root, ADDRESS) as took:
        yield Champion(two, took)


def asked(here: TestClient, who: Any, texts: list[str] = TEXTS) -> Any:
    """The answer to texts for one contributor, named row by row."""
    rows = [{"text": text, "contributor": who} for text in texts]
    return here.post("/invocations", json={"dataframe_records": rows}, auth=("any", KEY))


def test_it_answers_as_the_model_does_and_says_by_which_version(champion: Champion) -> None:
    here, model = client(champion), champion.current().model
    found = asked(here, ANN)
    assert (found.status_code, found.headers[VERSION_HEADER]) == (200, "1")
    rows = pd.DataFrame({"text": TEXTS, "contributor": ANN})
    assert found.json() == {"predictions": model.predict(None, rows).to_dict("records")}
    of_all = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}}
    by_parameter = {**of_all, "params": {"contributor": ANN}}
    again = here.post("/invocations", json=by_parameter, auth=("any", KEY))
    assert again.json() == found.json()
    assert asked(here, None).json() == asked(here, "").json() != found.json()


def test_only_who_has_the_key_and_means_this_server_is_answered(champion: Champion) -> None:
    here = client(champion)
    assert here.get("/health").status_code == 200
    assert here.get("/metrics").status_code == 401
    assert here.post("/invocations", json={}).status_code == 401
    for status, headers in (
        (421, {"Host": "evil.example"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Sec-Fetch-Site": "cross-site"}),
    ):
        found = here.post("/invocations", json={}, headers=headers, auth=("any", KEY))
        assert found.status_code == status
    for page in ("/docs", "/openapi.json", "/version"):
        assert here.get(page, auth=("any", KEY)).status_code == 404


WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "MLflow cannot read the rows"),
    "a list": ([1], "MLflow cannot read the rows"),
    "no rows": ({}, "MLflow cannot read the rows"),
    "no table": ({"instances": ["good"]}, "no table"),
    "a column": ({"dataframe_records": [{"text": "a", "contributer": ANN}]}, "'contributer'"),
    "an id": ({"dataframe_records": [{"text": "a", "contributor": "../x"}]}, "contributor id"),
    "both": (
        {"dataframe_records": [{"text": "a", "contributor": ANN}], "params": {"contributor": BOB}},
        "and a parameter",
    ),
    "a parameter": ({"dataframe_records": [{"text": "a"}], "params": {"x": 1}}, "parameter 'x'"),
    "parameters": ({"dataframe_records": [{"text": "a"}], "params": [ANN]}, "`params`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_told_what_would_do_and_no_traceback(
    champion: Champion, case: str
) -> None:
    sent, words = WRONG[case]
    body = sent if isinstance(sent, str) else json.dumps(sent)
    found = client(champion).post(
        "/invocations", content=body, headers={"Content-Type": "application/json"}, auth=("a", KEY)
    )
    assert found.status_code == 400
    assert words in found.json()["message"] and "Remedy: " in found.json()["message"]
    assert "Traceback" not in found.text


def test_csv_is_refused_for_it_cannot_name_everybody(champion: Champion) -> None:
    found = client(champion).post(
        "/invocations", content="text\ngood", headers={"Content-Type": "text/csv"}, auth=("a", KEY)
    )
    assert found.status_code == 400 and "called NA" in found.json()["message"]


def test_metrics_count_and_name_nobody(champion: Champion) -> None:
    here = client(champion)
    asked(here, ANN)
    asked(here, "../x")
    text = here.get("/metrics", auth=("any", KEY)).text
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
    assert found["sift_served_rows_total"] == len(TEXTS)
    assert found["sift_served_errors_total"] == 1
    assert found["sift_served_version"] == 1
    assert found["sift_served_kept_bytes"] > 0
    assert found["sift_served_seconds_count"] == 2
    key = champion.current().model.version.addressees([ANN])[0]
    assert ANN not in text and str(key) not in text


def test_who_has_left_is_served_unmasked_from_the_next_request_on(
    two: Workspace, champion: Champion
) -> None:
    here = client(champion)
    before, nobody = asked(here, ANN).json(), asked(here, None).json()
    began = champion.current()
    request(two, ANN)
    opt_out_plainly(two.root)
    after = asked(here, ANN)
    assert after.headers[VERSION_HEADER] == "2"
    assert after.json() == asked(here, None).json() != before
    assert (
        began.model.predict(None, pd.DataFrame({"text": TEXTS})).to_dict("records")
        == (nobody["predictions"])
    )
    (server,) = servers(two.root)
    assert [one.version for one in server.taken] == [1, 2] and server.runs
    assert {one.server for one in server.taken} == {ADDRESS}


def test_a_request_whose_mask_is_destroyed_meanwhile_is_answered_by_the_new_version(
    two: Workspace, champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = champion.current()
    request(two, ANN)
    opt_out_plainly(two.root)
    calls: list[Serving] = [began]
    really = champion.current
    monkeypatch.setattr(champion, "current", lambda: calls.pop() if calls else really())
    body = json.dumps({"dataframe_records": [{"text": "good", "contributor": ANN}]}).encode()
    _, served_by = answer(champion, body, "application/json")
    assert served_by.number == 2


def test_a_champion_that_lineage_does_not_know_is_not_served(two: Workspace) -> None:
    path = two.mlflow.reading.served_folder(1).parent / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "served_sha256": "0" * 64}))
    took: list[int] = []
    with pytest.raises(AlteredError, match="is not what lineage has recorded"):
        Champion(two, took.append).current()
    found = asked(client(Champion(two, took.append)), None)
    assert found.status_code == 500 and "sift audit" in found.json()["message"]
    assert took == []


def test_without_a_champion_nothing_is_served(fresh: Workspace) -> None:
    with pytest.raises(NoChampionError, match="sift build"):
        Champion(fresh, print).current()


def test_a_server_that_was_killed_is_not_taken_for_one_that_serves(tmp_path: Path) -> None:
    with taking(tmp_path, ADDRESS) as took:
        took(3)
        assert servers(tmp_path)[0].runs
    (path,) = served_folder(tmp_path).iterdir()
    with path.open("ab") as file:
        file.write(b'{"server": "127.0')
    (server,) = servers(tmp_path)
    assert [one.version for one in server.taken] == [3] and not server.runs


def test_the_alias_is_read_only_where_the_store_was_written_to(
    two: Workspace, champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, looks = champion.current(), []
    really = two.mlflow.reading.champion
    monkeypatch.setattr(two.mlflow.reading, "champion", lambda: looks.append(1) or really())
    assert champion.current() is first and looks == []
    with sqlite3.connect(two.root / "mlflow.db") as other:
        other.execute("CREATE TABLE something (else_ INTEGER)")
    assert champion.current() is first and looks == [1]
    assert champion.current(anew=True) is first and looks == [1, 1]
