"""A certificate that a killed run left and nobody can take stops its own request alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.erasure.set_aside import SetAsideError
from flows.evidence.certificates import CERTIFICATE, check_certificates, head
from flows.opt_out import take_steps
from flows.workspace.workspace import Workspace
from lineage.certificates.envelope import EvidenceError
from tests.support.damage import change_lineage, flip_a_byte
from tests.support.workspaces import opt_out_plainly, request

Harm = Callable[[Path], object]


def _folder(certificate: Path) -> None:
    certificate.unlink()
    certificate.mkdir()


HARM: dict[str, Harm] = {
    "altered": flip_a_byte,
    "empty": lambda certificate: certificate.write_bytes(b""),
    "no text": lambda certificate: certificate.write_bytes(b"\xff\0"),
    "of another report": lambda certificate: flip_a_byte(certificate.parent / "report.json"),
    "a folder": _folder,
}


@pytest.mark.parametrize(
    "harm",
    [pytest.param(name, marks=pytest.mark.slow) for name in HARM],
)
def test_the_others_end_and_its_own_request_ends_once_it_is_gone(
    fresh: Workspace, harm: str
) -> None:
    workspace = fresh
    troubled = request(workspace, "ann")
    opt_out_plainly(workspace.root)
    change_lineage(workspace, "DELETE FROM opt_out_step WHERE step = 'reported'")
    certificate = workspace.reports / troubled.request_id / CERTIFICATE
    whole = certificate.read_bytes()
    HARM[harm](certificate)
    other = request(workspace, "bob")

    with workspace.lock(), pytest.raises(SetAsideError) as caught:
        take_steps([troubled, other])

    assert list(caught.value.troubles) == [troubled.request_id]
    assert (troubled.next_step(), other.next_step()) == ("reported", None)
    remedies = caught.value.remedy
    if certificate.is_dir():
        certificate.rmdir()
    else:
        assert f"rm {certificate}" in remedies
        certificate.unlink()
    if harm == "altered":  # found again, somewhere: the other has its number by now
        certificate.write_bytes(whole)
        with workspace.lock(), pytest.raises(SetAsideError, match="another certificate has by now"):
            take_steps([troubled])
        certificate.unlink()
    with workspace.lock():
        take_steps([troubled])

    assert [link.content.predicate.request_id for link in check_certificates(workspace)][-1] == (
        troubled.request_id
    )


def test_one_that_no_open_request_will_meet_stops_whoever_ends_next(fresh: Workspace) -> None:
    stray = fresh.reports / "opt-out-0009"
    stray.mkdir(parents=True)
    (stray / CERTIFICATE).write_bytes(b"whose?")

    with pytest.raises(EvidenceError, match="opt-out-0009"):
        head(fresh)


@pytest.mark.slow
def test_one_that_a_later_certificate_follows_is_put_back_not_deleted(fresh: Workspace) -> None:
    workspace = fresh
    troubled = request(workspace, "ann")
    opt_out_plainly(workspace.root)
    change_lineage(workspace, "DELETE FROM opt_out_step WHERE step = 'reported'")
    opt_out_plainly(workspace.root, request(workspace, "bob").request_id)
    certificate = workspace.reports / troubled.request_id / CERTIFICATE
    whole = certificate.read_bytes()
    flip_a_byte(certificate)

    with workspace.lock(), pytest.raises(SetAsideError, match="a later certificate follows it"):
        take_steps([troubled])
    certificate.write_bytes(whole)
    with workspace.lock():
        take_steps([troubled])

    assert [link.sequence for link in check_certificates(workspace)] == [1, 2]
