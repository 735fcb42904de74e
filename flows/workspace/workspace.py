"""A workspace: one folder that holds everything of one model, and what opens its stores.

Nothing outside this folder is written, so deleting the folder deletes everything.
"""

import hmac
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeVar

import sift_bytes
from flows.errors import UsageError
from flows.hashing import DigestKey, artifact_name
from flows.integrations.git import Git
from flows.integrations.usable_paths import require_usable
from flows.logging import keep_in
from flows.telemetry import house_nameless
from flows.workspace.home import Home, new_id, read_home, require_at_home, write_home
from flows.workspace.identity import contributor_key, create_secret, read_secret
from flows.workspace.locks import WorkspaceBusyError, only_one_changing
from flows.workspace.server_key import server_key
from flows.workspace.settings import Settings
from flows.workspace.settings_file import load_settings, write_settings
from flows.workspace.store_paths import own_mark, require_own_places
from lineage import LineageBusyError, LineageStore, SharedLineageStore, Store

if TYPE_CHECKING:
    from flows.integrations.dvc.repository import Dvc
    from flows.integrations.mlflow.registry import Mlflow
    from flows.integrations.openlineage.events import OpenLineage

Kept = TypeVar("Kept")

UNFINISHED = f"{sift_bytes.files.UNFINISHED}*"
"""What `sift_bytes.write_atomically` calls a file before it has its name."""

_TEMPLATES = ("params.yaml", "dvc.yaml", "prefect.yaml")
_GITIGNORE = """\
# Files of contributors never enter git: DVC keeps them, git keeps their digests.
*
!.gitignore
!/params.yaml
!/dvc.yaml
!/dvc.lock
!/prefect.yaml
!/base.json
!/data.dvc
!/metrics.json
!/plots/
!/plots/quality.csv
!/.dvc/
!/.dvc/config
!/.dvc/.gitignore
!/.dvcignore
"""


@dataclass(frozen=True)
class Workspace:
    """The paths, settings and stores of one workspace. Opening one reads nothing but settings."""

    root: Path
    patience: float = 0.0
    """Seconds to wait for another process that is changing the workspace."""

    @classmethod
    def open(cls, root: Path, patience: float = 0.0) -> "Workspace":
        """The workspace at `root`. Raises UsageError where there is none.

        DisplacedError, a UsageError, where it was moved or copied here: its stores name what lies
        elsewhere.
        """
        workspace = cls.displaced(root, patience)
        require_at_home(workspace.root)
        keep_in(workspace.root)
        house_nameless(workspace.root)
        return workspace

    @classmethod
    def displaced(cls, root: Path, patience: float = 0.0) -> "Workspace":
        """The same, also where it was moved or copied: for `flows.operations.relocation` alone."""
        root = root.resolve()
        if not is_workspace(root):
            raise UsageError(
                f"{root} is not a workspace.",
                remedy="name one with --workspace, or make one with `sift init PATH`.",
            )
        require_usable(root)
        return cls(root, patience)

    @classmethod
    def create(cls, root: Path, changes: dict[str, dict[str, Any]]) -> "Workspace":
        """Make a new workspace in an empty or missing folder; `changes` edit its params.yaml.

        Raises UsageError where the folder holds anything, or a setting is wrong; then nothing is
        left behind.
        """
        root = root.resolve()
        require_usable(root)
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file.", remedy="name a new or an empty folder.")
        if root.exists() and any(root.iterdir()):
            raise UsageError(f"{root} is not empty.", remedy="name a new or an empty folder.")
        existed = root.exists()
        root.mkdir(parents=True, exist_ok=True)
        try:
            house_nameless(root)
            workspace = cls(root)
            workspace._furnish(changes)
        except BaseException:
            _empty(root, remove=not existed)
            raise
        return workspace

    def _furnish(self, changes: dict[str, dict[str, Any]]) -> None:
        for name in _TEMPLATES:
            source = template(name)
            if name == "params.yaml":
                write_settings(source, self.root / name, changes)
            else:
                shutil.copyfile(source, self.root / name)
        load_settings(self.root / "params.yaml")
        folders = (self.temporary, self.data, *self.vector_folders, self.masks, self.merge)
        for folder in folders:
            folder.mkdir(parents=True)
        git = Git.init(self.root)
        from flows.integrations.dvc.repository import Dvc
        from flows.workspace.keyring import Keys

        Dvc.init(self.root, self.root / "remote")
        _ = self.dvc  # pushes to where stores.remote says
        (self.root / ".gitignore").write_text(_GITIGNORE, encoding="utf-8")
        create_secret(self.root)
        server_key(self.root)
        write_home(self.root, Home(id=new_id(), path=str(self.root)))
        Keys(self.root).create()
        self.lineage.migrate()
        self._require_unused()
        git.add([".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", *_TEMPLATES])
        git.commit("Start the workspace")

    def _require_unused(self) -> None:
        """Raise UsageError where a shared store is another workspace's: opt-outs would mix them."""
        stores = self.settings.stores
        used = []
        with self.lineage.reader() as reader:
            if reader.contributors() or reader.current_state():
                used.append(f"stores.lineage {stores.lineage}")
        if stores.remote and not self.dvc.remote.is_empty():
            used.append(f"stores.remote {stores.remote}")
        if used:
            raise UsageError(
                f"{' and '.join(used)} holds another workspace.",
                remedy="name an empty database and an unused prefix; nothing was made.",
            )

    # ---- paths -------------------------------------------------------------------------------

    @property
    def base(self) -> Path:
        """The base model, a plain Hugging Face folder."""
        return self.root / "base"

    @property
    def data(self) -> Path:
        """Validated rows, one file per dataset version of a contributor."""
        return self.root / "data"

    @property
    def keeps_masks_only(self) -> bool:
        """Whether a vector is deleted once the merge has taken it in."""
        return self.settings.storage.keep == "masks"

    @property
    def vectors(self) -> Path:
        """Magnitudes of task vectors, one file per vector of a contributor.

        Where only masks are kept, a folder that DVC does not see.
        """
        kept, passing = self.vector_folders
        return passing if self.keeps_masks_only else kept

    @property
    def vector_folders(self) -> tuple[Path, Path]:
        """Where vectors are that are kept, and where those are that wait for the merge."""
        return self.root / "vectors", self.root / ".sift" / "vectors"

    @property
    def masks(self) -> Path:
        """Masks, one file per mask of a contributor."""
        return self.root / "masks"

    @property
    def merge(self) -> Path:
        """The current merge state, named by its SHA-256."""
        return self.root / "merge"

    @property
    def rebuild(self) -> Path:
        """What an audit has added up anew so far: `flows.models.rebuild`."""
        return self.root / ".sift" / "rebuild"

    @property
    def temporary(self) -> Path:
        """Things under way; whatever is here after a run is rubbish."""
        return self.root / ".sift" / "tmp"

    @property
    def machines(self) -> Path:
        """Descriptions of the workers' machines whose results count: docs/how-to/workers.md."""
        return self.root / ".sift" / "machines"

    @property
    def quarantine(self) -> Path:
        """What workers gave back and does not count."""
        return self.root / ".sift" / "quarantine"

    @property
    def reports(self) -> Path:
        """One folder per opt-out request."""
        return self.root / "reports"

    def data_file(self, key: str, sha256: str) -> Path:
        """One dataset version of a contributor."""
        return self.data / artifact_name(key, sha256, ".jsonl")

    def vector_file(self, key: str, sha256: str) -> Path:
        """One task vector of a contributor."""
        return self.vectors / artifact_name(key, sha256, ".safetensors")

    def mask_file(self, key: str, sha256: str) -> Path:
        """One mask of a contributor."""
        return self.masks / artifact_name(key, sha256, ".safetensors")

    def files_of(self, key: str) -> dict[Path, str]:
        """Every file of one contributor, current, superseded or never recorded: path → kind."""
        kinds = {self.data: "dataset", self.masks: "mask", self.quarantine: "quarantined"}
        kinds |= dict.fromkeys(self.vector_folders, "vector")
        return {
            path: kind for folder, kind in kinds.items() for path in sorted(folder.glob(f"{key}-*"))
        }

    def state_file(self, state_sha256: str) -> Path:
        """A merge state."""
        return self.merge / f"{state_sha256}.safetensors"

    # ---- stores ------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """`params.yaml`, read once. Raises UsageError."""
        return load_settings(self.root / "params.yaml")

    @cached_property
    def lineage(self) -> Store:
        """The lineage store: a file of the workspace, or a database that several share."""
        if url := self.settings.stores.lineage:
            return SharedLineageStore(url)
        return LineageStore(self.root / "lineage.duckdb")

    @cached_property
    def git(self) -> Git:
        """The git repository of the workspace."""
        return Git(self.root)

    @cached_property
    def dvc(self) -> "Dvc":
        """The DVC repository of the workspace."""
        # A second of imports that most commands do not need.
        from flows.integrations.dvc.repository import Dvc, Remote

        stores = self.settings.stores
        return Dvc(
            self.root, Remote(stores.remote, stores.remote_endpoint) if stores.remote else None
        )

    @cached_property
    def mlflow(self) -> "Mlflow":
        """The MLflow store of the workspace."""
        from flows.integrations.mlflow.registry import Mlflow  # as above

        name, stores = self.settings.model.name, self.settings.stores
        if not stores.mlflow:
            return Mlflow.own(self.root, name)
        from flows.integrations.mlflow.shared_server import SharedServer

        database = stores.mlflow_database
        return Mlflow(SharedServer(self.root, name, stores.mlflow, database, self.identity))

    @cached_property
    def openlineage(self) -> "OpenLineage":
        """Where OpenLineage's events of the workspace go."""
        from flows.integrations.openlineage.events import OpenLineage  # as above

        return OpenLineage(self.root, self.settings.model.name, self.settings.openlineage.transport)

    @cached_property
    def _in_memory(self) -> dict[type, Any]:
        return {}

    def in_memory(self, kind: type[Kept]) -> Kept:
        """The one object of a kind that is kept for as long as this workspace is open.

        For what is costly to load: `flows.training.base_model` keeps the base model here.
        """
        if kind not in self._in_memory:
            self._in_memory[kind] = kind()
        kept: Kept = self._in_memory[kind]
        return kept

    def key_of(self, external_id: str) -> str:
        """The contributor key of an id. Raises UsageError where it is not an id."""
        return contributor_key(read_secret(self.root), external_id)

    @cached_property
    def digests(self) -> DigestKey:
        """What digests of contributors' texts are made with here."""
        return DigestKey.of(read_secret(self.root))

    @property
    def identity(self) -> str:
        """What tells this workspace from others in a shared store, copies of it too: 32 hex."""
        home = read_home(self.root)
        if home is not None:
            return home.id
        if (mark := own_mark(self.root)) is not None:  # that was lost: its remote knows it
            return mark
        # Of before workspaces had a home. No contributor's id has such a character.
        return hmac.new(read_secret(self.root), b"\0stores", "sha256").hexdigest()[:32]

    # ---- changing it -------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that changes this workspace, or what its lineage tells of.

        Raises WorkspaceBusyError where another is, at once or when `patience` is over, and a
        UsageError where a store names what lies outside of the workspace. A store of an older
        release is brought up to this one. The operating system, and PostgreSQL where the
        lineage store is there, let go of the lock when a process dies, so none is ever left over.
        """
        with only_one_changing(self.root, self.patience), self._orchestrating():
            self._require_own()
            self._sweep()
            self.lineage.upgrade()
            with self.lineage.unit_of_work():
                yield

    @contextmanager
    def _orchestrating(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.lineage.orchestrating())
            except LineageBusyError as error:
                raise WorkspaceBusyError(error.facts, remedy=error.remedy) from error
            yield

    def _require_own(self) -> None:
        """Raise UsageError where anything here leads to what is not this workspace's."""
        require_at_home(self.root)
        require_own_places(self.root, self.settings.model.name, self.identity)
        if read_home(self.root) is None:  # of before workspaces had one
            write_home(self.root, Home(id=self.identity, path=str(self.root)))

    def _sweep(self) -> None:
        """Remove what a killed process left half written: it may hold a contributor's bytes."""
        _empty(self.temporary, remove=False)
        folders = (self.root, self.data, *self.vector_folders, self.masks, self.merge)
        for folder in (
            *folders,
            self.quarantine,
            self.rebuild,
            self.root / "plots",
            *self.reports.glob("*"),
        ):
            for unfinished in folder.glob(UNFINISHED):
                unfinished.unlink()

    @contextmanager
    def scratch(self, purpose: str) -> Iterator[Path]:
        """An empty folder inside the workspace that is gone afterwards."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f"{purpose}-", dir=self.temporary))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def is_workspace(folder: Path) -> bool:
    """Whether a folder looks like one."""
    return (folder / "params.yaml").is_file() and (folder / ".sift").is_dir()


def template(name: str) -> Path:
    """A file that a new workspace starts with: packed beside us, or at the repository's root."""
    packed = Path(__file__).parents[1] / "starter" / name
    return packed if packed.is_file() else Path(__file__).parents[2] / name


def _empty(folder: Path, *, remove: bool) -> None:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if remove:
        folder.rmdir()
