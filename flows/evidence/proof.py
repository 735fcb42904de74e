"""`sift verify CERTIFICATE`: how far a certificate holds, by what there is to hold it against.

Needs no workspace and no network. The levels up to the chain need the standard library and the
certificate's own code; the last three compute with the method, whose libraries are imported then.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from flows.errors import UsageError
from flows.workspace.keyring import read_ring
from lineage.certificates.attestation import AttestationStatement
from lineage.certificates.chain import Entry, Link, check_chain, read_link
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.keys import KeyRing
from lineage.certificates.levels import check_lineage, check_model, check_place, check_report
from lineage.certificates.statement import Statement

Status = Literal["passed", "FAILED", "not checked"]


@dataclass(frozen=True)
class Material:
    """What a certificate is held against; None: not at hand."""

    key: Path
    report: Path | None = None
    model: Path | None = None
    lineage: Path | None = None
    chain: Path | None = None
    state: Path | None = None
    base: Path | None = None
    vectors: Path | None = None


@dataclass(frozen=True)
class Level:
    """One level: what it is, how it went, and what was found."""

    name: str
    status: Status
    found: str


@dataclass(frozen=True)
class Proof:
    """All levels of one certificate or attestation, about a request or a merge state.

    `about` is None where the signature does not hold.
    """

    about: str | None
    levels: tuple[Level, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed. What was not checked is not passed, and said so."""
        return all(level.status != "FAILED" for level in self.levels)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}

    def require(self) -> None:
        """Raise EvidenceError naming the first level that failed."""
        for level in self.levels:
            if level.status == "FAILED":
                raise EvidenceError(
                    f"Level {level.name!r} failed: {level.found}",
                    remedy="do not rely on the certificate; ask its issuer.",
                )


def prove(certificate: Path, material: Material) -> Proof:
    """Check a certificate at every level there is material for.

    Raises UsageError where a named file or folder is not there, KeyFileError.
    """
    given = {name: path for name, path in vars(material).items() if path is not None}
    for path in (certificate, *given.values()):
        if not path.exists():
            raise UsageError(f"There is no {path}.", remedy="name a file or folder that is there.")
    link, signature = _signature(certificate, read_ring(material.key))
    levels = [signature]
    attests = link is not None and isinstance(link.content, AttestationStatement)
    for name, (needs, look) in _LEVELS.items():
        if attests and name not in _OF_A_STATE:
            continue
        missing = [f"--{need}" for need in needs if need not in given]
        if link is None:
            levels.append(Level(name, "not checked", "the signature does not hold"))
        elif missing:
            levels.append(Level(name, "not checked", f"give {' and '.join(missing)}"))
        else:
            levels.append(_taken(name, partial(look, link, *(given[need] for need in needs))))
    return Proof(link.name if link else None, tuple(levels))


def _signature(certificate: Path, ring: KeyRing) -> tuple[Link[Entry] | None, Level]:
    try:
        link = read_link(certificate.read_bytes(), ring, certificate.name)
    except EvidenceError as error:
        return None, Level("signature", "FAILED", error.facts)
    signer = next(term.key for term in ring.terms if term.covers(link.sequence))
    found = f"number {link.sequence}, {link.name}, by key {signer.key_id[:16]}…"
    return link, Level("signature", "passed", found)


def _taken(name: str, look: Callable[[], str]) -> Level:
    try:
        return Level(name, "passed", look())
    except EvidenceError as error:
        return Level(name, "FAILED", error.facts)


def _report(link: Link[Statement], folder: Path) -> str:
    return check_report(link.content, folder)


def _model(link: Link[Statement], folder: Path) -> str:
    return check_model(link.content, folder)


def _lineage(link: Link[Entry], export: Path) -> str:
    return check_lineage(link.content, export.read_bytes())


def _chain(link: Link[Entry], folder: Path, key: Path) -> str:
    kinds = ("*certificate*.dsse.json", "*attestation*.dsse.json")
    files = sorted(path for kind in kinds for path in folder.rglob(kind))
    return check_place(link, check_chain([path.read_bytes() for path in files], read_ring(key)))


def _state(link: Link[Entry], state: Path) -> str:
    from flows.evidence.recomputation import (
        check_state,  # torch: for this level and the next two alone
    )

    return check_state(link.content, state)


def _served(link: Link[Statement], state: Path, base: Path, model: Path) -> str:
    from flows.evidence.recomputation import check_served

    return check_served(link.content, state, base, model)


def _vectors(link: Link[Entry], export: Path, vectors: Path) -> str:
    from flows.evidence.recomputation import check_vectors

    check_lineage(link.content, export.read_bytes())
    return check_vectors(link.content, export.read_bytes(), vectors)


_LEVELS: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "report": (("report",), _report),
    "model folder": (("model",), _model),
    "lineage": (("lineage",), _lineage),
    "chain": (("chain", "key"), _chain),
    "merge state": (("state",), _state),
    "served weights": (("state", "base", "model"), _served),
    "vectors": (("lineage", "vectors"), _vectors),
}
"""Each level with the material it needs, the cheapest first."""
_OF_A_STATE = ("lineage", "chain", "merge state", "vectors")
"""Those of an attestation, which is about a merge state alone."""
