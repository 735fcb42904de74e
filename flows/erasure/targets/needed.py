"""What somebody who stays still needs of what a request withdraws: it is spared, and said so."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.models.superseded import needed_files
from flows.workspace.workspace import Workspace
from lineage import Impact


@dataclass(frozen=True)
class Needed:
    """What is needed in a workspace.

    `without`: by everybody but this contributor, told from lineage, as long as DVC's record still
    has everyone in it. None: by whoever is in that record, once it is without who left.
    """

    workspace: Workspace
    without: str | None = None

    @cached_property
    def files(self) -> set[Path]:
        """Current datasets; datasets, vectors and masks of the current merge."""
        return needed_files(self.workspace)

    @cached_property
    def content(self) -> Collection[str]:
        """The same by MD5, and in DVC's record all else that it holds."""
        if self.without is None:
            return self.workspace.dvc.objects.live()
        with self.workspace.lineage.reader() as reader:
            state = reader.current_state()
            members = reader.members(state.state_seq) if state else []
            merged = reader.member_datasets(state.state_seq) if state else []
            datasets = [*reader.current_datasets(), *merged]
        others = [member for member in members if member.contributor_key != self.without]
        needed = {row.md5 for row in datasets if row.contributor_key != self.without}
        return needed | {md5 for row in others for md5 in (row.vector_md5, row.mask_md5)}


def content_of(impact: Impact) -> dict[str, str]:
    """MD5 → kind of all content that holds what is withdrawn."""
    kinds = {row.md5: "dataset" for row in impact.datasets}
    kinds |= {row.vector_md5: "vector" for row in impact.vectors}
    kinds |= {row.mask_md5: "mask" for row in impact.vectors}
    return kinds | {row.md5: "merge_state" for row in impact.states}


def shared_content(impact: Impact, needed: Needed) -> list[str]:
    """MD5 of withdrawn content that stays, because another contributor gave the same."""
    return sorted(content_of(impact).keys() & set(needed.content))
