"""Bytes per contributor of real task vectors, and whether a standard codec would save more."""

import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors.numpy as st

from benchmarks.cost.bench import Bench, Kept
from benchmarks.figures import Figure

MASK_LIMIT = 1.02
VECTOR_LIMIT = 16.1
CODECS = (("zstd", 1), ("zstd", 3), ("lz4", None), ("gzip", 1))


def figures(bench: Bench) -> list[Figure]:
    """Bits of masks and vectors, their size beside dense forms, and what a codec would give."""
    kept = bench.kept
    densities = [round(one.vector.mask.nonzero / one.vector.mask.entries, 4) for one in kept]
    ours = [len(one.mask_bytes) + len(one.vector_bytes) for one in kept]
    dense = [len(_dense_file(one)) for one in kept]
    return [
        Figure.at_most(
            "Mask: bits per trainable parameter",
            max(8 * len(one.mask_bytes) / one.vector.mask.entries for one in kept),
            MASK_LIMIT,
            bytes=[len(one.mask_bytes) for one in kept],
        ),
        Figure.at_most(
            "Vector: bits per entry that moved",
            max(8 * len(one.vector_bytes) / one.vector.mask.nonzero for one in kept),
            VECTOR_LIMIT,
            bytes=[len(one.vector_bytes) for one in kept],
            densities=densities,
        ),
        Figure.shown(
            "Mask and vector, by the dense float32 delta",
            statistics.median(
                size / (4 * one.vector.mask.entries) for size, one in zip(ours, kept, strict=True)
            ),
            densities=densities,
        ),
        Figure.shown(
            "Mask and vector, by safetensors of the dense vector",
            statistics.median(size / file for size, file in zip(ours, dense, strict=True)),
            bytes={"ours": ours, "dense": dense},
        ),
        _codecs(kept[0], bench.folder),
    ]


@dataclass(frozen=True)
class Trial:
    """One codec on one file; speeds in MB of the file as stored now per second of CPU time."""

    file: str
    codec: str
    size: float
    """Compressed by stored."""
    compress_mb_per_s: float
    decompress_mb_per_s: float

    @property
    def pays_below(self) -> float:
        """MB/s of a disk: on a slower one, writing less saves the time that compressing takes."""
        return round((1 - self.size) * self.compress_mb_per_s, 1)


def try_codecs(name: str, content: bytes) -> list[Trial]:
    """Every codec on a file as it is; on a vector also with high and low bytes apart."""
    forms = {"": content}
    if name == "vector":
        forms[", bytes apart"] = shuffled(content)
    return [
        _try(name, form, data, codec, level)
        for form, data in forms.items()
        for codec, level in CODECS
    ]


def shuffled(content: bytes) -> bytes:
    """All even bytes, then all odd ones: the low and the high halves of float16."""
    octets = np.frombuffer(content, np.uint8)
    return octets[::2].tobytes() + octets[1::2].tobytes()


def _try(name: str, form: str, data: bytes, codec: str, level: int | None) -> Trial:
    tool = pa.Codec(codec, compression_level=level)
    started = time.process_time()
    packed = tool.compress(data, asbytes=True)
    compressed = time.process_time()
    tool.decompress(packed, decompressed_size=len(data), asbytes=True)
    ended = time.process_time()
    title = codec if level is None else f"{codec} -{level}"
    return Trial(
        name,
        title + form,
        round(len(packed) / len(data), 4),
        round(len(data) / 1e6 / (compressed - started), 1),
        round(len(data) / 1e6 / (ended - compressed), 1),
    )


def _codecs(kept: Kept, folder: Path) -> Figure:
    trials = try_codecs("mask", kept.mask_bytes) + try_codecs("vector", kept.vector_bytes)
    best = min((trial for trial in trials if trial.file == "vector"), key=lambda trial: trial.size)
    disk = _disk_speed(folder / "codec", kept.vector_bytes)
    pays = [trial for trial in trials if disk < trial.pays_below]
    return Figure.shown(
        "Vector under the best standard lossless codec, by its size as stored",
        best.size,
        codec=best.codec,
        disk_mb_per_s=disk,
        pays=[f"{trial.file}: {trial.codec}" for trial in pays],
        trials=[asdict(t) | {"pays_below_mb_per_s": t.pays_below} for t in trials],
    )


def _disk_speed(path: Path, content: bytes) -> float:
    """MB/s of writing with a flush."""
    started = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    speed = len(content) / 1e6 / (time.perf_counter() - started)
    path.unlink()
    return round(speed, 1)


def _dense_file(kept: Kept) -> bytes:
    scale = np.float32(kept.vector.grid.scale())
    dense = {name: integers * scale for name, integers in kept.vector.integers()}
    return st.save({name: values.astype(np.float32) for name, values in dense.items()})
