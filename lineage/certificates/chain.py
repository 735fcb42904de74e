"""The certificates of a workspace are one chain: a missing, altered or back-dated one shows.

Each names the SHA-256 of the file before and its own number. What a chain cannot show by itself is
that its end was cut off; compare the last number with what the issuer publishes, or with lineage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from lineage.certificates.envelope import EvidenceError
from lineage.certificates.keys import KeyRing
from lineage.certificates.statement import Statement, read
from sift_bytes import sha256_of


@dataclass(frozen=True)
class Link:
    """One certificate in the chain."""

    content: Statement
    sha256: str

    @property
    def sequence(self) -> int:
        """Its number: 1, 2, 3 and so on."""
        return self.content.predicate.sequence

    @property
    def at(self) -> datetime:
        """When it was certified."""
        return self.content.predicate.certified_at


def read_link(data: bytes, ring: KeyRing, origin: str) -> Link:
    """A certificate by itself: signed in the time of its key. Raises EvidenceError."""
    content, key = read(data, ring.keys, origin)
    ring.require_term(key, content.predicate.sequence)
    return Link(content, sha256_of(data))


def check_chain(certificates: Sequence[bytes], ring: KeyRing) -> tuple[Link, ...]:
    """All certificates of a workspace, in any order, as one unbroken chain from number 1.

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
    requests = [link.content.predicate.request_id for link in links]
    if doubled := {name for name in requests if requests.count(name) > 1}:
        raise _broken(f"{min(doubled)} has two certificates")
    return tuple(links)


def _broken(what: str) -> EvidenceError:
    return EvidenceError(
        f"the chain of certificates is broken: {what}.",
        remedy="ask the issuer for every certificate, and why the chain is not whole.",
    )
