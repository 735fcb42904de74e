"""Where a finetuning runs: the facts on software and machine that its last bits depend on."""

import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import sift_bytes
from flows.workspace.settings import MethodSettings, Settings
from lineage import EnvironmentRecord

Package = Literal["torch", "transformers", "accelerate", "numpy", "safetensors", "tokenizers"]
"""What a finetuning's last bits depend on, of all that is installed."""


def environment(settings: Settings | MethodSettings) -> EnvironmentRecord:
    """The environment of a finetuning that would run here and now."""
    threads = settings.finetune.threads
    return named_environment({**machine_facts(settings.finetune.device), "threads": threads})


def machine_facts(device: str) -> dict[str, Any]:
    """Of these, what is a fact of the machine with this device, and not of the settings."""
    return {
        "code_version": code_version(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()} {_processor()}",
        "device": _device(device),
        "packages": {name: version(name) for name in get_args(Package)},
    }


def named_environment(facts: dict[str, Any]) -> EnvironmentRecord:
    """The environment with these facts; its id is made of them."""
    text = json.dumps(facts, sort_keys=True)
    return EnvironmentRecord(environment_id=sift_bytes.sha256_of(text.encode())[:16], **facts)


def _processor() -> str:
    """The processor's name: kernels, and so the last bits of a finetuning, depend on it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _device(device: str) -> str:
    if not device.startswith("cuda"):
        return "cpu"
    import torch  # a second, which nobody without a GPU need wait for

    return torch.cuda.get_device_name(device)


@cache
def code_version() -> str:
    """The installed version, with the commit where the code runs from a git checkout."""
    released = version("sift-masks")
    here = Path(__file__).parents[2]
    if not (here / "pyproject.toml").is_file():
        return released
    result = subprocess.run(  # noqa: S603
        ["git", "-C", str(here), "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    commit = result.stdout.strip()
    return f"{released}+{commit}" if result.returncode == 0 and commit else released
