"""What of the machine the work rests on: versions, device, disk, clock, git."""

import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import NamedTemporaryFile

from packaging.requirements import Requirement

from flows.operations.doctor.diagnosis import Look, Status
from flows.workspace.workspace import Workspace

Found = Iterator[tuple[Status, str, str]]

OURS = "sift-masks"
_OLDEST_PYTHON = (3, 11)
_SKEW_SECONDS = 120.0
"""A clock may be this far from the times that others wrote."""
_STATE_COPIES, _MODEL_COPIES, _STORE_COPIES = 3, 2, 2
"""An opt-out writes the new state (workspace, cache, remote), the new model (and its draft), and
the lineage store and MLflow's database afresh."""
_COMFORT = 3
"""With less than this times what an opt-out takes, it is time to make room."""


def _python(_: Workspace) -> Found:
    found = f"Python {sys.version.split()[0]}, {OURS} {version(OURS)}."
    if sys.version_info < _OLDEST_PYTHON:
        yield "failed", found, f"install Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer."
    else:
        yield "ok", found, ""


def _packages(_: Workspace) -> Found:
    """Every package that we need, in the range that we support."""
    needed = [Requirement(text) for text in requires(OURS) or []]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    mend = "install the tested versions: `pip install --constraint constraints.txt sift-masks`."
    wrong = False
    for one in needed:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            wrong = True
            yield "failed", f"{one.name} is not installed.", mend
            continue
        if not one.specifier.contains(found, prereleases=True):
            wrong = True
            yield "failed", f"{one.name} is {found}, not {one.specifier}.", mend
    if not wrong:
        yield "ok", f"{len(needed)} packages are in the supported ranges.", ""


def _device(workspace: Workspace) -> Found:
    """The device that params.yaml asks for; torch is loaded only where that is a GPU."""
    device = workspace.settings.finetune.device
    if not device.startswith("cuda"):
        yield "ok", f"finetunes on {device}.", ""
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        yield (
            "failed",
            f"finetune.device is {device}, and torch {torch.__version__} sees {count} GPUs.",
            "install the driver and a torch build that fits it, or set finetune.device to cpu.",
        )
    else:
        yield "ok", f"{device} is {torch.cuda.get_device_name(number)}.", ""


def _disk(workspace: Workspace) -> Found:
    """Whether the next opt-out would find room: on a full disk it waits, deadlines do not."""
    free, needed = shutil.disk_usage(workspace.root).free, _bytes_of_an_opt_out(workspace)
    found = f"{free / 1e9:.2f} GB free, an opt-out takes about {needed / 1e9:.2f} GB."
    mend = "make room on this disk, or move the DVC remote to another."
    if free < needed:
        yield "failed", found, mend
    elif free < _COMFORT * needed:
        yield "warning", found, mend
    else:
        yield "ok", found, ""


def _bytes_of_an_opt_out(workspace: Workspace) -> int:
    root = workspace.root
    states = [path.stat().st_size for path in workspace.merge.glob("*.safetensors")]
    model = sum(p.stat().st_size for p in workspace.base.rglob("*") if p.is_file())
    stores = sum(
        p.stat().st_size for p in (root / "lineage.duckdb", root / "mlflow.db") if p.exists()
    )
    return _STATE_COPIES * max(states, default=0) + _MODEL_COPIES * model + _STORE_COPIES * stores


def _clock(workspace: Workspace) -> Found:
    """Deadlines count from it, and times in the audit log must not run backwards."""
    now = datetime.now(UTC)
    with workspace.lineage.reader() as reader:
        times = {"the last entry of the audit log": reader.audit_head().written_at}
    for name in ("lineage.duckdb", "params.yaml"):
        if (workspace.root / name).is_file():
            written = (workspace.root / name).stat().st_mtime
            times[name] = datetime.fromtimestamp(written, UTC)
    mend = (
        "set the clock of this machine (NTP); until then file no request: deadlines count from it."
    )
    ahead = {what: at for what, at in times.items() if (at - now).total_seconds() > _SKEW_SECONDS}
    for what, at in ahead.items():
        yield (
            "failed",
            f"it is {now:%Y-%m-%d %H:%M} UTC, and {what} is of {at:%Y-%m-%d %H:%M}.",
            mend,
        )
    workspace.temporary.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=workspace.temporary) as file:
        skew = Path(file.name).stat().st_mtime - time.time()
    if abs(skew) > _SKEW_SECONDS:
        yield "warning", f"the disk's clock is {skew:+.0f} s from this machine's.", mend
    elif not ahead:
        yield "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC, after everything that was written.", ""


def _git(workspace: Workspace) -> Found:
    git = workspace.git
    missing = [name for name in ("user.name", "user.email") if not git.setting(name)]
    if missing:
        yield (
            "failed",
            f"git knows no {' and no '.join(missing)}, so nothing can be committed.",
            f"run `git -C {workspace.root} config --local {missing[0]} sift@localhost`.",
        )
        return
    changed = "" if git.is_clean() else " Something is changed and not committed; a build does it."
    yield "ok", f"commits as {git.setting('user.email')}, head {git.head()[:12]}.{changed}", ""


MACHINE: dict[str, Look] = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "disk": _disk,
    "clock": _clock,
    "git": _git,
}
