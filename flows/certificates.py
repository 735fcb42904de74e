"""The certificates a workspace has: one chain, kept in `reports/` and known to lineage."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from flows.keys import Keys
from flows.workspace import Workspace
from lineage.certificate_chain import Link, check_chain, read_link
from lineage.certificate_digest import sha256_of
from lineage.certificate_envelope import EvidenceError

CERTIFICATE = "certificate.dsse.json"


@dataclass(frozen=True)
class Head:
    """The end of the chain of certificates."""

    sequence: int = 0
    sha256: str | None = None
    at: datetime | None = None


def require_signing_key(workspace: Workspace) -> None:
    """Raise UsageError, before anything is removed, where the end could not be signed."""
    Keys(workspace.root).signing_key()


def certificates(workspace: Workspace) -> dict[str, bytes]:
    """The file of each certificate of the workspace, by request."""
    paths = sorted(workspace.reports.glob(f"*/{CERTIFICATE}"))
    return {path.parent.name: path.read_bytes() for path in paths}


def check_certificates(workspace: Workspace) -> tuple[Link, ...]:
    """The chain of the workspace's certificates, none lost and each as lineage recorded it.

    Raises EvidenceError.
    """
    found = certificates(workspace)
    recorded = _recorded(workspace)
    files = {name: sha256_of(data) for name, data in found.items()}
    for name, head in recorded.items():
        if files.get(name) != head.sha256:
            raise EvidenceError(
                f"the certificate of {name} is {'altered' if name in files else 'missing'}: "
                f"lineage recorded {head.sha256}.",
                remedy=f"restore {workspace.reports / name / CERTIFICATE} from a backup.",
            )
    return check_chain(list(found.values()), Keys(workspace.root).ring())


def certificate_count(workspace: Workspace) -> int:
    """How many certificates there are: the number of the last one."""
    return head(workspace).sequence


def head(workspace: Workspace) -> Head:
    """The last certificate, by lineage; or by its file, where a killed run has not recorded it."""
    recorded = _recorded(workspace)
    heads = [*recorded.values(), *_unrecorded(workspace, recorded)]
    return max(heads, key=lambda head: head.sequence, default=Head())


def _recorded(workspace: Workspace) -> dict[str, Head]:
    """What lineage knows of certificates, by request."""
    found = {}
    with workspace.lineage.reader() as reader:
        for request in reader.requests():
            for step in reader.steps(request.request_id):
                if step.step == "reported" and "certificate" in step.details:
                    found[request.request_id] = Head(
                        int(str(step.details["sequence"])),
                        str(step.details["certificate"]),
                        step.done_at,
                    )
    return found


def _unrecorded(workspace: Workspace, recorded: Collection[str]) -> Iterator[Head]:
    for name, data in certificates(workspace).items():
        if name not in recorded:
            ring = Keys(workspace.root).ring()
            link = read_link(data, ring, f"the certificate of {name}")
            yield Head(link.sequence, link.sha256, link.at)
