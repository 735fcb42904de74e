"""MLflow writes down absolute paths: do they lead here, and letting its store know a new place.

They stand in the database's rows, and in each model's folder in `MLmodel` and `card.json`. MLflow
itself is not needed for either.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from flows.errors import UnreachedError

_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
# Ours alone: a user may keep other experiments and models in the same store, wherever they like.
# Of a version that was deleted in MLflow itself the source is blackened, and names no place.
_LOCATIONS = """
SELECT artifact_location FROM experiments WHERE name = :name
UNION SELECT r.artifact_uri FROM runs r JOIN experiments e USING (experiment_id)
  WHERE e.name = :name
UNION SELECT m.artifact_location FROM logged_models m JOIN experiments e USING (experiment_id)
  WHERE e.name = :name
UNION SELECT source FROM model_versions v
  WHERE name = :name AND current_stage <> 'Deleted_Internal' AND EXISTS (
  SELECT 1 FROM model_version_tags t
  WHERE (t.name, t.version) = (v.name, v.version) AND t.key = 'sift.model_id')
ORDER BY 1
"""


class ModelStoreError(UnreachedError):
    """MLflow refused or its store cannot be read."""


def first_elsewhere(root: Path, name: str) -> str | None:
    """Where a row of ours, of the experiment or model `name`, says that files lie that is not here.

    None where all lie in `root`/mlruns, or there is no store yet or none that can be read.
    """
    database, own = root / "mlflow.db", (root / "mlruns").as_uri()
    for location in _locations(database, name) if database.is_file() else ():
        if location != own and not location.startswith(f"{own}/"):
            return location
    return None


def _locations(database: Path, name: str) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(_LOCATIONS, {"name": name}).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # MLflow has not made them yet
            return
        raise ModelStoreError(
            f"{database} cannot be asked where its files lie: {error}.",
            remedy="end other processes that use it, then run the same command again.",
        ) from error
    except sqlite3.DatabaseError:  # no database at all: whoever opens it says so, and what mends it
        return
    yield from (location for (location,) in rows if location)


def move_store(root: Path, before: Path, after: Path) -> None:
    """Rewrite what lies under `root` and was written at `before`, to be used at `after`.

    Again changes nothing, also where one of the two folders lies in the other.
    """
    _move_rows(root / "mlflow.db", before.as_uri(), after.as_uri())
    for folder in (root / "mlruns" / "models").glob("*/artifacts"):
        _move_model(folder, before, after)


def _move_rows(database: Path, before: str, after: str) -> None:
    if not database.is_file():
        return
    done = f"{after}/mlruns"
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, columns in _COLUMNS.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = :after || substr({column}, :rest)"  # noqa: S608 - our names
                    f" WHERE ({column} = :before OR substr({column}, 1, :rest) = :before || '/')"
                    f" AND {column} <> :done AND substr({column}, 1, :moved) <> :done || '/'",
                    {
                        **{"before": before, "rest": len(before) + 1},
                        **{"after": after, "done": done, "moved": len(done) + 1},
                    },
                )


def _move_model(folder: Path, before: Path, after: Path) -> None:
    description, card = folder / "MLmodel", folder / "artifacts" / "card.json"
    if description.is_file():
        lines = description.read_text(encoding="utf-8").splitlines(keepends=True)
        old, new = (f"artifact_path: {path.as_uri()}/mlruns/" for path in (before, after))
        moved = [line.replace(old, new, 1) if line.startswith(old) else line for line in lines]
        description.write_text("".join(moved), encoding="utf-8")
    if card.is_file():
        content = json.loads(card.read_text(encoding="utf-8"))
        content["workspace"] = str(after)
        card.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
