"""Erasure targets: every kind of place that may hold what a request withdraws, listed once.

The plan that a person approves, the purge, its proof, the report, the doctor and the audit go by
this list. docs/how-to/add-an-erasure-target.md adds one.
"""

from flows.erasure.targets.dvc_objects import DvcCache, DvcRemote
from flows.erasure.targets.model_versions import ModelVersions
from flows.erasure.targets.needed import Needed, shared_content
from flows.erasure.targets.target import Found, Impacts, Scope, Target
from flows.erasure.targets.worker_area import WorkerArea
from flows.erasure.targets.workspace_files import WorkspaceFiles

__all__ = ["LABELS", "TARGETS", "Found", "Impacts", "Needed", "Scope", "Target", "shared_content"]

TARGETS: tuple[type[Target], ...] = (
    WorkspaceFiles,
    DvcCache,
    ModelVersions,
    DvcRemote,
    WorkerArea,
)
"""In the order in which a purge goes through them."""

LABELS = {place: label for target in TARGETS for place, label in target.labels.items()}
"""What a report calls each place."""
