"""MLflow writes down absolute paths: letting its store know that it lies elsewhere now.

The database's rows, and in each model's folder the files `MLmodel` and `card.json`. MLflow itself
is not needed for it.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def move_store(root: Path, before: Path, after: Path) -> None:
    """Rewrite what lies under `root` and was written at `before`, to be used at `after`."""
    _move_rows(root / "mlflow.db", before.as_uri(), after.as_uri())
    for folder in (root / "mlruns" / "models").glob("*/artifacts"):
        _move_model(folder, before, after)


def _move_rows(database: Path, before: str, after: str) -> None:
    if not database.is_file():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, columns in _COLUMNS.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - our names
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
                )


def _move_model(folder: Path, before: Path, after: Path) -> None:
    description, card = folder / "MLmodel", folder / "artifacts" / "card.json"
    if description.is_file():
        lines = description.read_text(encoding="utf-8").splitlines(keepends=True)
        old, new = (f"artifact_path: {path.as_uri()}/" for path in (before, after))
        moved = [line.replace(old, new) if line.startswith(old) else line for line in lines]
        description.write_text("".join(moved), encoding="utf-8")
    if card.is_file():
        content = json.loads(card.read_text(encoding="utf-8"))
        content["workspace"] = str(after)
        card.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
