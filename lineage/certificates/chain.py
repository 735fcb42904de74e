"""The certificates of a workspace are one chain: a missing, altered or back-dated one shows.

Each names the SHA-256 of the file before and its own number. What a chain cannot show by itself is
that its end was cut off; compare the last number with what the issuer publishes, or with lineage.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Generic, TypeVar, cast

from lineage.certificates import attestation, statement
from lineage.certificates.attestation import AttestationStatement
from lineage.certificates.envelope import EvidenceError, unsealed
from lineage.certificates.keys import KeyRing
from lineage.certificates.statement import Statement
from sift_bytes import sha256_of

Entry = Statement | AttestationStatement
"""What a link says: that somebody has left, or that a merge state was rebuilt."""
SomeEntry = TypeVar("SomeEntry", bound=Entry, covariant=True)


@dataclass(frozen=True)
class Link(Generic[SomeEntry]):
    """One certificate or attestation in the chain."""

    content: SomeEntry
    sha256: str

    @property
    def sequence(self) -> int:
        """Its number: 1, 2, 3 and so on."""
        return self.content.predicate.sequence

    @property
    def at(self) -> datetime:
        """When it was signed."""
        about = self.content.predicate
        if isinstance(about, attestation.Attestation):
            return about.attested_at
        return about.certified_at

    @property
    def name(self) -> str:
        """What it is about: a request's id, or a merge state."""
        about = self.content.predicate
        if isinstance(about, attestation.Attestation):
            return f"merge state {about.state.state_seq}"
        return about.request_id


Chain = tuple[Link[Entry], ...]


def read_link(data: bytes, ring: KeyRing, origin: str) -> Link[Entry]:
    """A link by itself: signed in the time of its key. Raises EvidenceError."""
    payload, _ = unsealed(data, ring.keys, origin)
    reads = attestation.read if _kind(payload) == attestation.PREDICATE else statement.read
    content, key = reads(data, ring.keys, origin)
    ring.require_term(key, content.predicate.sequence)
    return Link(content, sha256_of(data))


def read_certificate(data: bytes, ring: KeyRing, origin: str) -> Link[Statement]:
    """The certificate of an opt-out by itself, likewise."""
    link = read_link(data, ring, origin)
    if not isinstance(link.content, Statement):
        raise EvidenceError(
            f"{origin} attests a rebuild, and certifies no opt-out.",
            remedy="ask the issuer for the certificate of the request.",
        )
    return cast("Link[Statement]", link)


def certificates_in(chain: Chain) -> list[Link[Statement]]:
    """Those links that certify an opt-out."""
    return [cast("Link[Statement]", link) for link in chain if isinstance(link.content, Statement)]


def rebuilt_since(link: Link[Entry], chain: Chain) -> Link[AttestationStatement] | None:
    """The first attestation after a link: its state, or one that came from it, was rebuilt."""
    for later in chain:
        if later.sequence > link.sequence and isinstance(later.content, AttestationStatement):
            return cast("Link[AttestationStatement]", later)
    return None


def _kind(payload: bytes) -> object:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return None  # reading it says what is wrong
    return said.get("predicateType") if isinstance(said, dict) else None


def check_chain(certificates: Sequence[bytes], ring: KeyRing) -> Chain:
    """All certificates and attestations of a workspace, in any order, as one unbroken chain from 1.

    Raises EvidenceError where one is missing, altered, doubled, back-dated or for a request that
    has a certificate already.
    """
    links = sorted(
        (read_link(data, ring, f"certificate {n} of the chain")
         for n, data in enumerate(certificates, start=1)),
        key=lambda link: link.sequence,
    )  # fmt: skip
    for number, link in enumerate(links, start=1):
        if link.sequence != number:
            what = "there twice" if link.sequence < number else "missing"
            raise _broken(f"certificate {min(number, link.sequence)} is {what}")
    for before, after in pairwise(links):
        if after.content.predicate.previous != before.sha256:
            raise _broken(
                f"certificate {after.sequence} follows another certificate {before.sequence} than "
                "this one"
            )
        if after.at < before.at:
            raise _broken(
                f"certificate {after.sequence} is dated before certificate {before.sequence}"
            )
    chain = tuple(links)
    requests = [link.content.predicate.request_id for link in certificates_in(chain)]
    if doubled := {name for name in requests if requests.count(name) > 1}:
        raise _broken(f"{min(doubled)} has two certificates")
    return chain


def _broken(what: str) -> EvidenceError:
    return EvidenceError(
        f"the chain of certificates is broken: {what}.",
        remedy="ask the issuer for every certificate, and why the chain is not whole.",
    )
