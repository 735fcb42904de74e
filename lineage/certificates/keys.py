"""Which keys may sign: the first one, and the records by which each names the next.

A key record is a signed statement of the key in use: "from now on this key signs", or "this key
signs model folders". Whoever trusts the first key needs nothing else: every later key was named by
the one before, and none signs certificates outside its time. Records are numbered and chained, as
certificates are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pydantic import ConfigDict, Field

from lineage.certificates.envelope import (
    EvidenceError,
    Plain,
    PublicKey,
    SigningKey,
    encode,
    parse,
    unsealed,
)
from lineage.certificates.statement import DigestSet, StatementOfOne, Subject
from lineage.records import Count, Sequence32, Sha256, Text
from lineage.times import Utc
from sift_bytes import sha256_of

PREDICATE: Final = "urn:sift-masks:key-record:1"

Purpose = Literal["certificates", "models"]


class KeyRecord(Plain):
    """One key named by the key in use."""

    sequence: Sequence32
    previous: Sha256 | None
    """SHA-256 of the file of the record before; null for the first."""
    purpose: Purpose
    public_key: Text
    """PEM."""
    at: Utc
    certificates: Count
    """How many certificates there were. A key that named its successor signs none after these."""


class KeyStatement(StatementOfOne):
    """The payload of a key record: its subject is the named key, by the SHA-256 of its DER form."""

    model_config = ConfigDict(title="key record")

    predicate_type: Literal["urn:sift-masks:key-record:1"] = Field(
        default=PREDICATE, alias="predicateType"
    )
    predicate: KeyRecord


@dataclass(frozen=True)
class Term:
    """A key and the certificates it may sign: numbers `first` to `last`, None: without end."""

    key: PublicKey
    first: int = 1
    last: int | None = None

    def covers(self, sequence: int) -> bool:
        """Whether a certificate with this number may carry this key's signature."""
        return self.first <= sequence and (self.last is None or sequence <= self.last)


@dataclass(frozen=True)
class KeyRing:
    """All keys that follow from a trusted one."""

    terms: tuple[Term, ...]
    model_keys: tuple[str, ...] = ()
    """PEM of each key that signs model folders, oldest first."""
    records: int = 0
    head: str | None = None
    """SHA-256 of the last record."""

    @classmethod
    def of(cls, trusted: PublicKey, records: Sequence[bytes] = ()) -> "KeyRing":
        """Follow the records from the trusted key, in their order. Raises EvidenceError."""
        ring = cls((Term(trusted),))
        for data in records:
            ring = ring.then(data)
        return ring

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """All keys, oldest first; the last is in use."""
        return tuple(term.key for term in self.terms)

    @property
    def current(self) -> PublicKey:
        """The key in use."""
        return self.terms[-1].key

    def then(self, data: bytes) -> "KeyRing":
        """The ring with one more record. Raises EvidenceError where it does not follow."""
        origin = f"key record {self.records + 1}"
        payload, _ = unsealed(data, [self.current], origin)
        content = parse(KeyStatement, payload, origin)
        record, (subject,) = content.predicate, content.subject
        if (record.sequence, record.previous) != (self.records + 1, self.head):
            raise _broken(origin, "it does not follow the record before")
        if subject.digest.sha256 != key_id(record.public_key.encode(), origin):
            raise _broken(origin, "its subject is another key than it holds")
        ring = replace(self, records=record.sequence, head=sha256_of(data))
        if record.purpose == "models":
            return replace(ring, model_keys=(*self.model_keys, record.public_key))
        last = self.terms[-1]
        if record.certificates < last.first - 1:
            raise _broken(origin, "it ends a key before that key began")
        named = PublicKey.from_pem(record.public_key.encode(), origin)
        ended = replace(last, last=record.certificates)
        terms = (*self.terms[:-1], ended, Term(named, record.certificates + 1))
        return replace(ring, terms=terms)

    def require_term(self, key: PublicKey, sequence: int) -> None:
        """Raise EvidenceError where a key signed a certificate outside its time."""
        if not any(own.key is key and own.covers(sequence) for own in self.terms):
            raise EvidenceError(
                f"certificate {sequence} is signed by key {key.key_id[:16]}…, which another had "
                "replaced by then or which was not in use yet.",
                remedy="do not rely on it: it may be back-dated.",
            )


def name_key(
    ring: KeyRing, signer: SigningKey, purpose: Purpose, pem: bytes, at: Utc, certificates: int
) -> bytes:
    """The file of a record by which the key in use names another (its public PEM)."""
    record = KeyRecord(
        sequence=ring.records + 1,
        previous=ring.head,
        purpose=purpose,
        public_key=pem.decode(),
        at=at,
        certificates=certificates,
    )
    subject = Subject(name="public key", digest=DigestSet(sha256=key_id(pem, "the new key")))
    return signer.sign(encode(KeyStatement(subject=(subject,), predicate=record)))


def key_id(pem: bytes, origin: str) -> str:
    """The SHA-256 of a public key's DER form, of whatever kind it is. Raises EvidenceError."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _broken(origin, "it holds no public key") from None
    form = PublicFormat.SubjectPublicKeyInfo
    if key.public_bytes(Encoding.PEM, form) != pem:
        raise _broken(origin, "its public key is not in canonical PEM")
    return sha256_of(key.public_bytes(Encoding.DER, form))


def _broken(origin: str, why: str) -> EvidenceError:
    return EvidenceError(
        f"{origin} does not hold: {why}.",
        remedy="ask the issuer for all key records, as `sift keys show --out FOLDER` writes them.",
    )
