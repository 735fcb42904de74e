"""Where a member's mask is, and that it is the very one that a version was registered with."""

from collections.abc import Iterator
from pathlib import Path

from flows.hashing import artifact_name
from flows.integrations.mlflow.card import MaskRef
from flows.serving.errors import AlteredError, MaskMissingError
from sift_bytes import sha256_of
from sift_core import Mask

_RELOAD = "load the champion (`models:/<name>@champion`): this version may have been superseded."


def find_mask(workspace: Path, key: str, reference: MaskRef) -> Mask:
    """Return the very mask that a version was registered with, from the workspace or its cache.

    The workspace keeps the masks of the current merge; of a superseded version the DVC cache still
    has them by their MD5. Raises MaskMissingError, AlteredError.
    """
    named = workspace / "masks" / artifact_name(key, reference.mask_sha256, ".safetensors")
    found = False
    for path in _places(workspace, named, reference):
        found = True
        data = path.read_bytes()
        if sha256_of(data) == reference.mask_sha256:
            return Mask.recorded(data, str(path))
    if found:
        raise AlteredError(
            f"{named} is not the mask that this version was registered with, and the DVC cache "
            "does not have that one.",
            remedy=f"restore it with `dvc pull masks` in the workspace, or {_RELOAD}",
        )
    raise MaskMissingError(
        f"The mask of contributor {key} is neither in {named.parent} nor in the DVC cache.",
        remedy=f"restore it with `dvc pull masks` in the workspace, or {_RELOAD}",
    )


def _places(workspace: Path, named: Path, reference: MaskRef) -> Iterator[Path]:
    if named.is_file():
        yield named
    if (workspace / ".dvc").is_dir():
        from flows.integrations.dvc.repository import Dvc  # a second to import, and rarely needed

        cached = Dvc(workspace).objects.path(reference.mask_md5)
        if cached is not None:
            yield cached
