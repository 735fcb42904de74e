"""The method: sign-fixed finetuning, exact merging, serving. Tensors in, tensors out.

SIFT-Masks (Kuo et al., arXiv 2504.04626) on a fixed integer grid, so that removing a contributor
gives the bits of a model that never had them. Read in this order: `signs`, `finetuning`,
`task_vector`, then `definitions`: the merge and what is served, on whole tensors. What does the
same for models of any size is held against it.

A name here brings its module when it is first used (PEP 562). Who adds up integers waits neither
for torch nor for transformers, which take seconds to import.
"""

from typing import TYPE_CHECKING

from sift_bytes.lazy_names import names_of

if TYPE_CHECKING:
    from sift_core.adapter_files import adapter_folder, add_adapter, frozen_projections
    from sift_core.base import BaseModel, WarmStart, load_base, prepare_base
    from sift_core.base_folder import folder_sha256
    from sift_core.base_tryout import try_out
    from sift_core.block_reader import (
        StoredMask,
        StoredState,
        StoredVector,
        require_mask,
        shapes_in,
    )
    from sift_core.checkpoint import load_tokenizer
    from sift_core.definitions import MergeState, masked_weights, members_weights, served_weights
    from sift_core.digest import LANES, linear_digest
    from sift_core.encoding import Encoded, Reading, collated, encode, encode_examples
    from sift_core.errors import SiftCoreError
    from sift_core.examples import Chat, Classification, Example, Text
    from sift_core.file_header import Kind
    from sift_core.files import read_mask, read_state, read_vector
    from sift_core.finetune_settings import FinetuneSettings
    from sift_core.finetuning import Finetuned, finetune
    from sift_core.fixed_point import Grid
    from sift_core.mask import Mask
    from sift_core.merge_update import (
        InspectedVector,
        UpdatedState,
        inspect_vector,
        rebuilt_sha256,
        stored_digest,
        update_state,
    )
    from sift_core.offload import stream_base
    from sift_core.parameterization import Adapter, FullWeights, Parameterization, start
    from sift_core.removal_audit import (
        AuditRows,
        LeftOut,
        Probe,
        Relearning,
        RemovalAudit,
        audit_removal,
    )
    from sift_core.scoring import Score, evaluate
    from sift_core.serving import Mean, Weights, weights_sha256
    from sift_core.serving_blocks import WeightsDigest, serve, served_from, served_sha256
    from sift_core.serving_files import WeightsWriter, model_folder, weights_file
    from sift_core.serving_offload import LazilyServed
    from sift_core.signs import SignVector
    from sift_core.task_vector import TaskVector
    from sift_core.threads import use_threads
    from sift_core.weights_folder import StoredWeights

_HOMES = {
    "adapter_files": ("adapter_folder", "add_adapter", "frozen_projections"),
    "base": ("BaseModel", "WarmStart", "load_base", "prepare_base"),
    "base_folder": ("folder_sha256",),
    "base_tryout": ("try_out",),
    "block_reader": ("StoredMask", "StoredState", "StoredVector", "require_mask", "shapes_in"),
    "checkpoint": ("load_tokenizer",),
    "definitions": ("MergeState", "masked_weights", "members_weights", "served_weights"),
    "digest": ("LANES", "linear_digest"),
    "encoding": ("Encoded", "Reading", "collated", "encode", "encode_examples"),
    "errors": ("SiftCoreError",),
    "examples": ("Chat", "Classification", "Example", "Text"),
    "file_header": ("Kind",),
    "files": ("read_mask", "read_state", "read_vector"),
    "finetune_settings": ("FinetuneSettings",),
    "finetuning": ("Finetuned", "finetune"),
    "fixed_point": ("Grid",),
    "mask": ("Mask",),
    "merge_update": (
        "InspectedVector",
        "UpdatedState",
        "inspect_vector",
        "rebuilt_sha256",
        "stored_digest",
        "update_state",
    ),
    "offload": ("stream_base",),
    "parameterization": ("Adapter", "FullWeights", "Parameterization", "start"),
    "removal_audit": (
        "AuditRows",
        "LeftOut",
        "Probe",
        "Relearning",
        "RemovalAudit",
        "audit_removal",
    ),
    "scoring": ("Score", "evaluate"),
    "serving": ("Mean", "Weights", "weights_sha256"),
    "serving_blocks": ("WeightsDigest", "serve", "served_from", "served_sha256"),
    "serving_files": ("WeightsWriter", "model_folder", "weights_file"),
    "serving_offload": ("LazilyServed",),
    "signs": ("SignVector",),
    "task_vector": ("TaskVector",),
    "threads": ("use_threads",),
    "weights_folder": ("StoredWeights",),
}
"""Module → its public names."""

__all__ = [
    "LANES",
    "Adapter",
    "AuditRows",
    "BaseModel",
    "Chat",
    "Classification",
    "Encoded",
    "Example",
    "FinetuneSettings",
    "Finetuned",
    "FullWeights",
    "Grid",
    "InspectedVector",
    "Kind",
    "LazilyServed",
    "LeftOut",
    "Mask",
    "Mean",
    "MergeState",
    "Parameterization",
    "Probe",
    "Reading",
    "Relearning",
    "RemovalAudit",
    "Score",
    "SiftCoreError",
    "SignVector",
    "StoredMask",
    "StoredState",
    "StoredVector",
    "StoredWeights",
    "TaskVector",
    "Text",
    "UpdatedState",
    "WarmStart",
    "Weights",
    "WeightsDigest",
    "WeightsWriter",
    "adapter_folder",
    "add_adapter",
    "audit_removal",
    "collated",
    "encode",
    "encode_examples",
    "evaluate",
    "finetune",
    "folder_sha256",
    "frozen_projections",
    "inspect_vector",
    "linear_digest",
    "load_base",
    "load_tokenizer",
    "masked_weights",
    "members_weights",
    "model_folder",
    "prepare_base",
    "read_mask",
    "read_state",
    "read_vector",
    "rebuilt_sha256",
    "require_mask",
    "serve",
    "served_from",
    "served_sha256",
    "served_weights",
    "shapes_in",
    "start",
    "stored_digest",
    "stream_base",
    "try_out",
    "update_state",
    "use_threads",
    "weights_file",
    "weights_sha256",
]

__getattr__ = names_of(__name__, _HOMES)
