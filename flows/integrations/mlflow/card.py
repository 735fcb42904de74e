"""The model card: what one registered model version is made of, and where its masks are kept.

It names contributors by key only and holds no mask: whoever has a model version alone can serve
it unmasked, and needs the workspace, which an opt-out empties, to serve a contributor's mask.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lineage.records import MemberMean, TooLong

SERVED_FOLDER, MEMBERS_FILE = "served", "members/weights.safetensors"
"""In a version: the plain folder of the unmasked model; beside it, where it is not the same, what
members are served, of the trained tensors."""
CONTRIBUTOR = "contributor"
"""Names whom a row is asked for: a column, or of all rows a parameter."""
DEFAULT_NEW_TOKENS = 64  # generation: the longest answer where the caller does not say

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
ContributorKey = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class MaskRef(BaseModel):
    """Which mask file belongs to a member: both digests of the file's bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask_sha256: Sha256
    mask_md5: Md5


class ModelCard(BaseModel):
    """Everything that serving a version needs to know besides its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    name: str
    task: Literal["classification", "generation"]
    base_id: Sha256
    base_model: str | None = None  # its Hugging Face id, where it has one,
    base_revision: str | None = None  # and the commit that it was fetched at
    base_folder: str = "base"  # relative to the workspace, or absolute
    workspace: str  # absolute folder; SIFT_WORKSPACE overrides it where the model is served
    state_seq: int = Field(ge=1)
    state_sha256: Sha256
    served_sha256: Sha256  # of the unmasked model, for anyone
    members_sha256: Sha256  # of what all members are served, each under their mask
    member_mean: MemberMean
    members: dict[ContributorKey, MaskRef]
    sign_seed: int
    grid_bits: int
    labels: list[str] = []  # classification: the name of each class, in the order of the logits
    max_length: int = Field(ge=1)  # tokens that are read of a row at once
    too_long: TooLong  # what becomes of a row with more

    @classmethod
    def read(cls, path: Path) -> "ModelCard":
        """Read `card.json`. Raises pydantic.ValidationError where it is not a card."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, path: Path) -> None:
        """Write `card.json`, the same bytes for the same card."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
