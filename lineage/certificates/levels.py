"""How deep a certificate can be checked, with what there is to check it against.

Each level takes the certificate's content and one more thing, and says what was found or raises
EvidenceError. None needs a workspace, a network or the method's libraries; the deeper two, which
compute the merge state again, are in `flows/evidence/proof.py`.
"""

import json
from pathlib import Path

from lineage.certificates.chain import Chain, Entry, Link, rebuilt_since
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.statement import LINEAGE, PAGE, REPORT, Certificate, Statement
from lineage.state_export import read_export, require_sum
from sift_bytes import file_sha256, sha256_of


def check_report(content: Statement, folder: Path) -> str:
    """`report.json` and `report.html` of a folder are the certified ones, byte for byte."""
    for name in (REPORT, PAGE):
        _require_file(content, name, folder / name)
    return f"{REPORT} and {PAGE} are the certified bytes; {_agrees(content, folder / REPORT)}"


def _agrees(content: Statement, path: Path) -> str:
    """The certificate and the report it signs speak of the same thing."""
    about = content.predicate
    try:
        report = json.loads(path.read_bytes())
        said = (report["request_id"], report["contributor_key"], report["records"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _differs(REPORT, "it is no report") from None
    if said != (about.request_id, about.scope.contributor_key, about.scope.records):
        raise _differs(REPORT, "it is about another request than the certificate")
    return f"both are about {about.request_id}"


def check_model(content: Statement, folder: Path) -> str:
    """A model folder has exactly the certified files, with the certified bytes."""
    certified = content.model_files()
    if not certified:
        raise _differs(str(folder), "nothing had been built, so no model is certified")
    # Links are no files of the folder: what they lead to could change under a checked name.
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if linked := sorted(name for name, path in found.items() if path.is_symlink()):
        raise _differs(linked[0], "it is a link")
    if odd := sorted(found.keys() ^ certified.keys()):
        what = "is missing" if odd[0] in certified else "is not among the certified files"
        raise _differs(odd[0], f"it {what}")
    for name, path in found.items():
        if file_sha256(path) != certified[name]:
            raise _differs(name, "its bytes are not the certified ones")
    return f"{len(found)} files are the certified bytes"


def check_lineage(content: Entry, data: bytes) -> str:
    """The export of the certified state is the certified one, sums up, and is without who left."""
    if sha256_of(data) != content.digest(LINEAGE):
        raise _differs(LINEAGE, "its bytes are not the certified ones")
    head, members = read_export(data)
    about = content.predicate
    state = about.state
    if state is None or (head.state_sha256, head.members, head.linear_digest) != (
        state.state_sha256,
        state.members,
        state.linear_digest,
    ):
        raise _differs(LINEAGE, "it is of another state than the certificate")
    require_sum(head, members)
    found = (
        f"the digests of {head.members} members sum to the state's in "
        f"{len(head.linear_digest)} lanes"
    )
    if not isinstance(about, Certificate) or about.scope.records is not None:
        return found
    key = about.scope.contributor_key
    if key in {member.contributor_key for member in members}:
        raise _differs(LINEAGE, f"{key} is still a member")
    return f"{found}, who left is not among them"


def check_place(link: Link[Entry], chain: Chain) -> str:
    """The certificate is the one that the (whole) chain has at its number."""
    if link.sha256 not in {other.sha256 for other in chain}:
        raise _differs(f"certificate {link.sequence}", "it is not in the chain")
    place = f"number {link.sequence} of {len(chain)}, none missing, dates in order"
    about = link.content.predicate
    if not isinstance(about, Certificate) or about.verification is None:
        return place
    if about.verification.level == "rebuilt":
        return f"{place}; its merge was rebuilt before it was signed"
    later = rebuilt_since(link, chain)
    if later is None:
        return f"{place}; its merge is derived, and no merge since was rebuilt"
    return (
        f"{place}; its merge is derived, and {later.name}, which came from it, was rebuilt: number "
        f"{later.sequence} attests it"
    )


def _require_file(content: Statement, name: str, path: Path) -> None:
    if not path.is_file():
        raise _differs(name, f"there is no {path}")
    if file_sha256(path) != content.digest(name):
        raise _differs(name, "its bytes are not the certified ones")


def _differs(what: str, why: str) -> EvidenceError:
    return EvidenceError(
        f"{what} does not agree with the certificate: {why}.",
        remedy="do not rely on it; ask the issuer for what the certificate was signed with.",
    )
