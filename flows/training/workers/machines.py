"""The machines that may finetune: described on the machine, admitted by the operator.

Lineage keeps for years what it says of a machine, so none of its words comes from a worker: an
worker names its machine by the digest of a description, and only what the operator has read and
admitted (`.sift/machines/<id>.json`), or this machine's own, is known here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

import sift_bytes
from flows.errors import UsageError
from flows.training.environment import Package, machine_facts, named_environment
from flows.workspace.settings import FinetuneSettings, MethodSettings
from flows.workspace.workspace import Workspace
from lineage import EnvironmentRecord
from sift_bytes import canonical_json

DESCRIPTION_BYTES = 4096
"""No description is longer."""

_Version = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.+!-]{0,39}$")]
_Model = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ()@.,:+_/-]{1,120}$")]


class Machine(BaseModel):
    """Software and machine of finetunings: what `sift workers describe` prints there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code_version: _Version
    python: _Version
    platform: _Model
    device: _Model
    packages: Annotated[dict[Package, _Version], Field(min_length=1)]

    @property
    def machine_id(self) -> str:
        """The SHA-256 of the description, which is all that a worker says of it."""
        text = canonical_json(self.model_dump())
        return sift_bytes.sha256_of(text.encode())

    def environment(self, method: MethodSettings) -> EnvironmentRecord:
        """What lineage records of a finetuning on it."""
        return named_environment({**self.model_dump(), "threads": method.finetune.threads})


def this_machine(device: str) -> Machine:
    """The description of this machine, with a device such as `cpu` or `cuda:0`.

    Raises UsageError where it has no such device, or a name that a description cannot hold.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"This machine has no device {device}.",
            remedy="run this where workers finetune, or name the device with --device.",
        )
    try:
        return Machine.model_validate(machine_facts(device))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"This machine's {first['loc'][0]} cannot be described: {first['input']!r}.",
            remedy="see that all packages are of a release; then report this.",
        ) from error


def read_description(path: Path) -> Machine:
    """A description that another machine printed. Raises UsageError for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(DESCRIPTION_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", remedy="name what the machine printed."
        ) from error
    try:
        if len(data) > DESCRIPTION_BYTES:
            raise UsageError(f"{path} is too long for a description.", remedy=_DESCRIBE)
        return Machine.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise UsageError(
            f"{path} is no description of a machine: {where} ({first['type']}).", remedy=_DESCRIBE
        ) from None


def write_description(machine: Machine, path: Path) -> None:
    """Write a description into a new file. Raises UsageError where that cannot be."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(machine.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", remedy="name a new file."
        ) from error


_DESCRIBE = "write it there with `sift workers describe --out FILE`; nothing was admitted."


def admit(workspace: Workspace, machine: Machine) -> None:
    """Let results of this machine count from now on."""
    workspace.machines.mkdir(parents=True, exist_ok=True)
    text = machine.model_dump_json(indent=2) + "\n"
    path = workspace.machines / f"{machine.machine_id}.json"
    sift_bytes.write_atomically(path, text.encode())


def dismiss(workspace: Workspace, machine_id: str) -> None:
    """Let no more results of this machine count. Raises UsageError for one that is not admitted."""
    found = [one for one in admitted(workspace) if machine_id and one.startswith(machine_id)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} admitted machines have an id that begins with {machine_id[:64]!r}.",
            remedy="`sift workers machines` lists them.",
        )
    (workspace.machines / f"{found[0]}.json").unlink()


def admitted(workspace: Workspace) -> dict[str, Machine]:
    """Every machine that the operator has admitted, by its id. Raises UsageError."""
    machines = [read_description(path) for path in sorted(workspace.machines.glob("*.json"))]
    return {machine.machine_id: machine for machine in machines}


def known(workspace: Workspace) -> Mapping[str, Machine]:
    """Whose results count in a build: the admitted, and this machine where it has the device."""
    finetune: FinetuneSettings = workspace.settings.finetune
    if finetune.device.startswith("cuda") and not torch.cuda.is_available():
        return admitted(workspace)
    here = this_machine(finetune.device)
    return {**admitted(workspace), here.machine_id: here}
