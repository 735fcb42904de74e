"""The merging rules that people would pick instead, from their definitions.

A task vector here is a flat float32 array of shape (d,). Rules take a sequence of them, such as
memory-mapped files, and look at one at a time, so memory does not grow with their number.

| rule | source |
| --- | --- |
| task arithmetic, here the mean (FT+Merge) | Ilharco et al., arXiv 2212.04089 |
| TIES: trim, elect, average | Yadav et al., arXiv 2306.01708, §4 |
| TALL masks and Consensus | Wang et al., arXiv 2405.07813, §4 and §5 |
| EMR: elect, mask, rescale | Huang et al., arXiv 2405.17461, §3 |
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
TALL_LAMBDAS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""The grid of the TALL paper."""
TIES_KEEP = 0.2
"""TIES keeps the largest 20 % of each task vector."""
CONSENSUS_TASKS = 2
"""Consensus keeps the entries that at least two tasks use."""


def total(vectors: Sequence[Vector]) -> Vector:
    """S = Σ τ_t, summed in float32 in the order given, as the peers do."""
    result = np.zeros_like(vectors[0])
    for vector in vectors:
        result += vector
    return result


def trim_threshold(vector: Vector, keep: float = TIES_KEEP) -> float:
    """The magnitude of the k-th largest entry, k = keep · d: what is smaller is trimmed."""
    kept = max(1, round(keep * vector.size))
    return float(np.partition(np.abs(vector), vector.size - kept)[vector.size - kept])


def ties(vectors: Sequence[Vector], keep: float = TIES_KEEP) -> Vector:
    """Trim each vector, elect the sign of the trimmed sum, average the entries that agree."""
    thresholds = [trim_threshold(vector, keep) for vector in vectors]
    elected = np.zeros_like(vectors[0])
    for vector, threshold in zip(vectors, thresholds, strict=True):
        elected += np.where(np.abs(vector) >= threshold, vector, 0)
    np.sign(elected, out=elected)
    summed = np.zeros_like(elected)
    counts = np.zeros_like(elected)
    for vector, threshold in zip(vectors, thresholds, strict=True):
        agrees = (np.abs(vector) >= threshold) & (vector * elected > 0)
        summed[agrees] += vector[agrees]
        counts += agrees
    summed /= np.maximum(counts, 1)
    return summed


def tall_mask(vector: Vector, summed: Vector, strictness: float) -> NDArray[np.bool_]:
    """1{|τ_t| ≥ λ·|S − τ_t|}: the entries of the sum that serve this task."""
    kept: NDArray[np.bool_] = np.abs(vector) >= strictness * np.abs(summed - vector)
    return kept


def consensus_mask(
    vectors: Sequence[Vector], summed: Vector, strictness: float, tasks: int = CONSENSUS_TASKS
) -> NDArray[np.bool_]:
    """The entries that the TALL masks of at least `tasks` tasks keep."""
    counts = np.zeros(summed.shape, dtype=np.int32)
    for vector in vectors:
        counts += tall_mask(vector, summed, strictness)
    return counts >= tasks


def emr_unified(vectors: Sequence[Vector]) -> Vector:
    """Elect: the sign of the sum, with the largest magnitude among the vectors that agree."""
    elected = np.sign(total(vectors))
    largest = np.zeros_like(elected)
    for vector in vectors:
        np.maximum(largest, np.where(vector * elected > 0, np.abs(vector), 0), out=largest)
    return elected * largest


def emr_served(vector: Vector, unified: Vector) -> Vector:
    """Mask where the task agrees with the unified vector; rescale to its own mean magnitude."""
    masked = np.where(vector * unified > 0, unified, 0)
    size = float(np.abs(masked).sum(dtype=np.float64))
    own = float(np.abs(vector).sum(dtype=np.float64))
    return masked * np.float32(own / size if size else 0.0)
