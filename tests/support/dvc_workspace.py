"""A folder that DVC keeps, with files of three people."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from flows.integrations.dvc.repository import Dvc
from flows.integrations.git import Git


def md5(content: bytes) -> str:
    """Return the name under which DVC stores a file with this content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Workspace:
    """What a flow does to a workspace: files written, then recorded and committed."""

    root: Path
    remote: Path
    git: Git
    dvc: Dvc

    @classmethod
    def create(cls, root: Path, remote: Path) -> "Workspace":
        made = cls(root, remote, Git.init(root), Dvc.init(root, remote))
        made.write("params.yaml", b"seed: 1\n")
        made.write("dvc.yaml", DVC_YAML.encode())
        made.write("base/model.safetensors", b"base")
        return made

    def write(self, path: str, content: bytes) -> str:
        """Replace a file as the flows do, under a new name first; return its MD5."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(target.name + ".new")
        new.write_bytes(content)
        new.replace(target)
        return md5(content)

    def build(self, contributors: dict[str, bytes]) -> None:
        """Write a build of the contributors: data, vectors and masks per key, one merge file."""
        for folder in ("data", "vectors", "masks", "merge"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
            (self.root / folder).mkdir()
        for key, content in contributors.items():
            self.write(f"data/{key}.jsonl", b"data " + content)
            self.write(f"vectors/{key}.safetensors", b"vector " + content)
            self.write(f"masks/{key}.safetensors", b"mask " + content)
        merged = b"merge " + b"+".join(contributors[key] for key in sorted(contributors))
        self.write(f"merge/{hashlib.sha256(merged).hexdigest()}.safetensors", merged)
        self.write("metrics.json", b'{"contributors": %d}\n' % len(contributors))
        self.write("plots/quality.csv", b"contributor,accuracy\n")

    def record(self, message: str = "build") -> str:
        self.dvc.record.add("base", "data")
        self.dvc.record.commit_stages()
        self.dvc.remote.push()
        self.git.add(["."])
        return self.git.commit(message)

    def stored_bytes(self) -> dict[Path, bytes]:
        """Every file of cache and remote, whatever its name."""
        stores = (self.root / ".dvc" / "cache", self.remote)
        return {path: path.read_bytes() for s in stores for path in s.rglob("*") if path.is_file()}


ALICE, BOB, CAROL = "a" * 32, "b" * 32, "c" * 32


PEOPLE = {ALICE: b"of Alice", BOB: b"of Bob", CAROL: b"of Carol"}


WITHOUT_ALICE = {key: value for key, value in PEOPLE.items() if key != ALICE}


def of_alice() -> list[str]:
    """MD5s of everything that came from Alice: her files, and the merge that she was in."""
    merged = b"merge " + b"+".join(PEOPLE[key] for key in sorted(PEOPLE))
    return [md5(kind + b" of Alice") for kind in (b"data", b"vector", b"mask")] + [md5(merged)]


# Every command fails: whoever runs a stage instead of recording it is found out.
DVC_YAML = """\
stages:
  finetune:
    cmd: exit 1
    deps: [data, base]
    params: [seed]
    outs:
    - vectors: {persist: true}
    - masks: {persist: true}
  merge:
    cmd: exit 1
    deps: [vectors, masks]
    outs: [merge]
  evaluate:
    cmd: exit 1
    deps: [base, data, masks, merge]
    metrics:
    - metrics.json: {cache: false}
    plots:
    - plots/quality.csv: {cache: false}
"""
