"""All that a run ever imports, imported: nothing here does anything.

What a run does with a model, with MLflow or with DVC it imports when it gets there, so that who
does nothing of it does not wait (docs/architecture.md). A process that runs are forked from has it
all already.
"""

from importlib import import_module

import lineage
import sift_core

MODULES = (
    "flows.audit",
    "flows.build",
    "flows.deadlines",
    "flows.erasure.steps",
    "flows.integrations.dvc.repository",
    "flows.integrations.mlflow.border",
    "flows.integrations.mlflow.looking",
    "flows.integrations.mlflow.model_folder",
    "flows.integrations.mlflow.registry",
    "flows.integrations.mlflow.rows",
    "flows.opt_out",
    "flows.training.workers.assignments",
    "flows.training.workers.pool",
    "flows.ui.approval_form",
    "flows.ui.request_form",
    # What those, Prefect, DVC and transformers leave for later themselves.
    "networkx",
    "prefect.artifacts",
    "prefect.flow_engine",
    "scipy.special",
    "transformers.trainer",
)

for _name in MODULES:
    import_module(_name)
for _package in (lineage, sift_core):
    for _name in _package.__all__:
        getattr(_package, _name)
