"""Who made a backup: a signed statement on its manifest, which names every byte.

A backup brings a git repository, settings and keys, and a model with code: whoever can alter one
could have anything done. So it is believed only where its manifest is signed with the workspace's
key, by a public key that the person brings, or has the digest that the person brings.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ConfigDict, Field

from flows.errors import UsageError
from lineage.certificates.envelope import EvidenceError, Plain, SigningKey, encode, parse, unsealed
from lineage.certificates.keys import KeyRing
from lineage.certificates.statement import DigestSet, StatementOfOne, Subject
from lineage.records import Text
from sift_bytes import sha256_of

PREDICATE: Final = "urn:sift-masks:backup:1"
LONGEST = 1 << 16
"""Bytes of a signature: no more is read."""


class BackupPredicate(Plain):
    """Which backup it is."""

    backup_id: Text


class BackupStatement(StatementOfOne):
    """The payload of a backup's signature: its subject is the manifest."""

    model_config = ConfigDict(title="backup")

    predicate_type: Literal["urn:sift-masks:backup:1"] = Field(
        default=PREDICATE, alias="predicateType"
    )
    predicate: BackupPredicate


@dataclass(frozen=True)
class Trust:
    """What the person brings to know a backup by: public keys, the manifest's SHA-256, or both."""

    ring: KeyRing | None = None
    sha256: str | None = None

    def require_any(self) -> None:
        """Raise UsageError where there is nothing to know a backup by."""
        if self.ring is None and self.sha256 is None:
            raise UsageError(
                "Nothing tells who made this backup, and one that was altered could run programs.",
                remedy="give --digest with what `sift backup make` printed, or --key with the "
                "public key or the folder that `sift keys show --out` wrote.",
            )

    def require_authentic(self, manifest: bytes, signature: bytes, origin: str) -> None:
        """Raise EvidenceError where the manifest is not the one that is known by this."""
        found = sha256_of(manifest)
        if self.sha256 is not None and self.sha256 != found:
            raise _not_authentic(origin, f"its manifest has SHA-256 {found}, not {self.sha256}")
        if self.ring is not None:
            # The key in use alone: of one that was replaced nobody knows who has it by now.
            payload, _ = unsealed(signature, [self.ring.current], f"The signature of {origin}")
            said = parse(BackupStatement, payload, f"The signature of {origin}")
            if said.subject[0].digest.sha256 != found:
                raise _not_authentic(origin, "its signature is of another manifest")


def sign(key: SigningKey, manifest: bytes, backup_id: str) -> bytes:
    """The signed statement on a manifest."""
    subject = Subject(name="manifest.json", digest=DigestSet(sha256=sha256_of(manifest)))
    said = BackupStatement(subject=(subject,), predicate=BackupPredicate(backup_id=backup_id))
    return key.sign(encode(said))


def _not_authentic(origin: str, why: str) -> EvidenceError:
    return EvidenceError(
        f"{origin} is not the backup that it should be: {why}.",
        remedy="it is another one, or was altered: restore the right one; nothing was written.",
    )
