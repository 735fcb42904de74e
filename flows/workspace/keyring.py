"""The keys that certificates and model folders are signed with, in `.sift/keys/`.

    signing.pem             Ed25519, signs certificates; SIFT_SIGNING_KEY names another file
    model.pem               EC P-256, signs exported model folders (sigstore's model-signing knows
                            no Ed25519)
    public/0000.pem         the first public key: what others have to trust
    public/0001.dsse.json   key records: how each later key was named by the one before

Private keys are readable by their owner alone, are outside of git and DVC, and are written down
nowhere else. `public/` holds no secret and is what an auditor is given.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from flows.errors import UsageError
from lineage.certificates.envelope import KeyFileError, PublicKey, SigningKey
from lineage.certificates.keys import KeyRing, name_key

OVERRIDE = "SIFT_SIGNING_KEY"
FIRST, RECORD = "0000.pem", ".dsse.json"


@dataclass(frozen=True)
class Keys:
    """The keys of the workspace at `root`."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where keys are kept."""
        return self.root / ".sift" / "keys"

    @property
    def public_folder(self) -> Path:
        """The first public key and the key records."""
        return self.folder / "public"

    @property
    def signing_file(self) -> Path:
        """The private key of certificates."""
        return Path(os.environ.get(OVERRIDE) or self.folder / "signing.pem")

    @property
    def model_file(self) -> Path:
        """The private key of model folders."""
        return self.folder / "model.pem"

    def create(self) -> KeyRing:
        """Make the keys that are missing; the ring. Raises UsageError where all are there.

        A key that SIFT_SIGNING_KEY names and that exists is taken as it is. A killed call is
        finished by the next one. Raises KeyFileError where a key that was in use is lost.
        """
        if self._is_complete():
            raise UsageError(
                f"{self.root} has its keys already.",
                remedy="see them with `sift keys show`, replace them with `sift keys rotate`.",
            )
        known = (self.public_folder / FIRST).exists()
        if not self.signing_file.exists():
            if known:
                raise self._lost()
            _write_private(self.signing_file, SigningKey.generate().pem())
        key = _read_signing_key(self.signing_file)
        if not known:
            _write(self.public_folder / FIRST, key.public.pem, 0o644)
        self._name_model_key(self._fitting(key), certificates=0)
        return self.ring()

    def rotate(self, certificates: int) -> KeyRing:
        """Replace both keys: the old one names the new one, then is deleted. The new ring.

        `certificates` is the number of certificates so far: the old key can sign none after them.
        Raises UsageError where there are no keys, KeyFileError.
        """
        following = self.signing_file.with_name(f"{self.signing_file.name}.next")
        if not following.exists():
            self.signing_key()
            _write_private(following, SigningKey.generate().pem())
        new, ring = _read_signing_key(following), self.ring()
        if ring.current.key_id != new.public.key_id:  # else a killed call has come this far
            record = name_key(
                ring,
                self.signing_key(),
                "certificates",
                new.public.pem,
                datetime.now(UTC),
                certificates,
            )
            self._append(ring, record)
        following.replace(self.signing_file)
        self.model_file.unlink(missing_ok=True)
        self._name_model_key(self._fitting(new), certificates)
        return self.ring()

    def signing_key(self) -> SigningKey:
        """The private key of certificates.

        Raises UsageError where there is none, KeyFileError where it is not the workspace's.
        """
        known = (self.public_folder / FIRST).is_file()
        if known and not self.signing_file.is_file():
            raise self._lost()
        if not known:
            raise UsageError(
                f"{self.root} has no signing key ({self.signing_file}).",
                remedy="make one with `sift keys init`: an opt-out ends with a signed certificate.",
            )
        return self._fitting(_read_signing_key(self.signing_file))

    def model_key_file(self) -> Path:
        """The private key of model folders, checked. Raises UsageError, KeyFileError."""
        self.signing_key()
        if self._model_pem() not in self.ring().model_keys:
            raise KeyFileError(
                f"{self.model_file} is not the key that the workspace's key records name.",
                remedy="restore it from a backup, or run `sift keys rotate`.",
            )
        return self.model_file

    def ring(self) -> KeyRing:
        """All public keys. Raises UsageError, EvidenceError where a record does not hold."""
        if not (self.public_folder / FIRST).is_file():
            raise UsageError(f"{self.root} has no keys.", remedy="make them with `sift keys init`.")
        return read_ring(self.public_folder)

    def _lost(self) -> KeyFileError:
        return KeyFileError(
            f"{self.signing_file} is lost, and certificates know its public key.",
            remedy="restore it from a backup, or say in SIFT_SIGNING_KEY where it lies: another "
            "key could not continue their chain.",
        )

    def _fitting(self, key: SigningKey) -> SigningKey:
        current = self.ring().current
        if key.public.key_id != current.key_id:
            raise KeyFileError(
                f"{self.signing_file} holds key {key.public.key_id[:16]}…, the workspace's is "
                f"{current.key_id[:16]}….",
                remedy=f"restore the file, or set {OVERRIDE} to the right one; "
                "`sift keys rotate` is the way to a new key.",
            )
        return key

    def _is_complete(self) -> bool:
        if not (self.public_folder / FIRST).exists() or not self.signing_file.exists():
            return False
        return self._model_pem() in self.ring().model_keys

    def _name_model_key(self, signer: SigningKey, certificates: int) -> None:
        if not self.model_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write_private(self.model_file, pem)
        ring, public = self.ring(), self._model_pem()
        if public not in ring.model_keys:
            now = datetime.now(UTC)
            record = name_key(ring, signer, "models", public.encode(), now, certificates)
            self._append(ring, record)

    def _model_pem(self) -> str:
        """The public key of model folders; empty where there is no key."""
        if not self.model_file.exists():
            return ""
        _require_private(self.model_file)
        try:
            key = load_pem_private_key(self.model_file.read_bytes(), None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyFileError(
                f"{self.model_file} is not an EC private key in PEM.",
                remedy="restore it from a backup, or delete it and run `sift keys init`.",
            )
        form = PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(Encoding.PEM, form).decode()

    def _append(self, ring: KeyRing, record: bytes) -> None:
        _write(self.public_folder / f"{ring.records + 1:04}{RECORD}", record, 0o644)


def read_ring(path: Path) -> KeyRing:
    """The keys to trust, from a folder as `sift keys show --out` writes it.

    The first key alone says nothing of when it was retired, so it is not taken alone. Raises
    UsageError where there is no such folder, KeyFileError, EvidenceError.
    """
    first = path / FIRST
    if not first.is_file():
        raise UsageError(
            f"There is no public key at {first}.",
            remedy="name the folder that `sift keys show --out FOLDER` wrote, with the key "
            "records: the first key alone does not say when it was retired.",
        )
    records = sorted(path.glob(f"*{RECORD}"))
    trusted = PublicKey.from_pem(first.read_bytes(), str(first))
    return KeyRing.of(trusted, [record.read_bytes() for record in records])


def write_public(keys: Keys, folder: Path) -> None:
    """Write what an auditor is given into a new folder. Raises UsageError where it is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", remedy="name a new or an empty folder.")
    ring = keys.ring()
    shutil.copytree(keys.public_folder, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    if ring.model_keys:  # as sigstore's own verifier takes it
        (folder / "model.pem").write_text(ring.model_keys[-1], encoding="ascii")


def _read_signing_key(path: Path) -> SigningKey:
    _require_private(path)
    return SigningKey.from_pem(path.read_bytes(), str(path))


def _require_private(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyFileError(
            f"{path} can be read by others (mode {mode:o}).",
            remedy=f"run `chmod 600 {path}`; if others may have read it, `sift keys rotate`.",
        )


def _write_private(path: Path, pem: bytes) -> None:
    _write(path, pem, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet: complete, on the disk, and never readable by more."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and linked into place, as the secret of contributor keys is: linking never
    # overwrites, and a process killed here leaves no half key under the real name.
    for left in path.parent.glob(f"{path.name}.*.new"):
        left.unlink()
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def require_signing_key(root: Path) -> None:
    """Raise UsageError, before anything is removed, where the end could not be signed."""
    Keys(root).signing_key()
