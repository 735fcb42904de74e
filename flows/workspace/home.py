"""Where a workspace lives, and whose copy it is: `.sift/home.json`.

MLflow's rows, and whatever else a store writes down, name absolute paths. A folder that was moved
or copied would therefore work on what lies at its old place, and an opt-out would destroy it there.
So a workspace writes down where it lives, under an id of its own, and a command that is started
anywhere else refuses before it opens a store. Which of the two happened is seen at the old place:

    moved     nothing of this id is there any more        `sift workspace moved`
    copied    the workspace of this id is still there     `sift workspace copied`
"""

import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import FlowError, UsageError
from lineage.times import Utc

HomeId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_FILE = Path(".sift") / "home.json"


class DisplacedError(UsageError):
    """A workspace lies elsewhere than it did: its stores name what lies at its old place."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Written):
    """What a copy was made of, and where that workspace notes who leaves."""

    home_id: HomeId | None
    """The id of the workspace that was copied; None where it had none yet."""
    path: str
    """Where that lay."""
    backup_id: str | None = None
    """The backup it came by; None for a copied folder."""
    at: Utc
    links: tuple[str, ...] = ()
    """Folders in which that workspace notes departures; none: nobody will tell this copy."""


class Home(_Written):
    """One workspace: its id, which no copy shares, and the folder it lives in."""

    format: Literal["sift-home/1"] = "sift-home/1"
    id: HomeId
    path: str
    origin: Origin | None = None


def new_id() -> str:
    """An id that no other workspace has: 32 hex."""
    return secrets.token_hex(16)


def read_home(root: Path) -> Home | None:
    """What a workspace has written down; None where there is none, or nothing yet.

    Raises FlowError where the file is not what we write.
    """
    path = root / _FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Home.model_validate_json(data)
    except ValidationError as error:
        raise FlowError(
            f"{path} does not say where the workspace lives.",
            remedy="restore it from a backup; or delete it once you know that this folder was "
            "neither moved nor copied: the next command writes it anew.",
        ) from error


def write_home(root: Path, home: Home) -> None:
    """Write it down, whole or not at all."""
    draft = (root / _FILE).with_suffix(".json.new")
    draft.write_text(home.model_dump_json(indent=1) + "\n", encoding="utf-8")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(root / _FILE)


def require_at_home(root: Path) -> None:
    """Raise DisplacedError where the workspace at `root` lives elsewhere by its own word."""
    home = read_home(root)
    if home is None or home.path == str(root):
        return
    if is_same_folder(Path(home.path), root):
        raise DisplacedError(
            f"{root} is {home.path} by another name, and its stores know that one alone.",
            remedy=f"use `--workspace {home.path}`; if it shall have the new name from now on, run "
            f"`sift workspace moved --workspace {root}`.",
        )
    if still_lives(home):
        raise DisplacedError(
            f"{root} is a copy of the workspace {home.path}, and its stores name what lies there.",
            remedy=f"work in {home.path}; or make the copy a workspace of its own with `sift "
            f"workspace copied --workspace {root}`.",
        )
    raise DisplacedError(
        f"{root} was at {home.path} before, and its stores name what lay there.",
        remedy=f"if it was moved, run `sift workspace moved --workspace {root}`; if it is a copy "
        f"and the other goes on elsewhere, `sift workspace copied --workspace {root}`.",
    )


def still_lives(home: Home) -> bool:
    """Whether the workspace of this id is at the place it wrote down."""
    there = read_home(Path(home.path))
    return there is not None and (there.id, there.path) == (home.id, home.path)


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, by a link or a mount."""
    try:
        return one.samefile(other)
    except OSError:
        return False
