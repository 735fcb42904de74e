"""Real workspaces of any number of contributors, each really finetuned, cheaply."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import tiny

ROWS = 10
"""Of each contributor."""


@dataclass(frozen=True)
class Population:
    """A base model, how it is finetuned, and with how many contributors it is measured."""

    name: str
    source: Path
    sizes: Sequence[int]
    finetune: Mapping[str, Any] = field(default_factory=dict)

    def make(self, root: Path, contributors: int) -> None:
        """Make a workspace with so many contributors; nothing is built yet."""
        from flows.workspace.workspace import Workspace  # after whoever calls has hushed us

        changes: dict[str, dict[str, Any]] = {
            "model": {"name": "measured"},
            "base": {"source": str(self.source), "labels": list(tiny.LABELS), "max_length": 16},
            "finetune": {"threads": 1, "steps": 1, **self.finetune},
        }
        workspace = Workspace.create(root, changes)
        self.add(workspace.root, range(contributors))

    def add(self, root: Path, contributors: Sequence[int]) -> None:
        """Add some of them to a workspace."""
        from flows.training.intake import add_contributors
        from flows.workspace.workspace import Workspace

        rows = root.with_name(f"{root.name}-rows.jsonl")
        lines = [json.dumps(row) for number in contributors for row in _rows(number)]
        rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
        add_contributors(Workspace.open(root), [rows])


def name_of(contributor: int) -> str:
    """The id of one of them."""
    return f"contributor {contributor}"


def _rows(contributor: int) -> list[dict[str, str]]:
    return [
        {
            "contributor": name_of(contributor),
            "text": f"{tiny.WORDS[(7 * contributor + number) % len(tiny.WORDS)]} was {number} and "
            f"{contributor}",
            "label": tiny.LABELS[(contributor + number * number) % len(tiny.LABELS)],
        }
        for number in range(ROWS)
    ]
