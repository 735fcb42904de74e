"""Attestations of rebuilds stand in the chain of certificates, and are read as strictly."""

from datetime import timedelta
from pathlib import Path

import pytest

from lineage.certificates import attestation as form
from lineage.certificates.chain import check_chain, read_certificate, read_link, rebuilt_since
from lineage.certificates.envelope import EvidenceError, encode
from lineage.certificates.statement import AuditHead
from sift_bytes import sha256_of
from tests.support.evidence import (
    RING,
    SIGNER,
    START,
    case,
    export,
    mutations,
    predicate,
    signing_key,
    single_file_verifier,
)
from tests.support.population import sha

GOLDEN = Path(__file__).parent / "goldens" / "attestation.dsse.json"


def attested(sequence: int = 1, previous: str | None = None, day: int = 40) -> bytes:
    """The attestation of the state that the certificates of these tests are about."""
    state = predicate().state
    assert state is not None
    about = form.Attestation(
        sequence=sequence,
        previous=previous,
        attested_at=START + timedelta(days=day),
        code_version="0.1.0",
        rebuilt_from="stored vectors",
        state=state,
        audit_head=AuditHead(seq=77, sha256=sha("entry 77")),
    )
    return form.sign(about, sha256_of(export()), SIGNER)


def a_chain() -> list[bytes]:
    """A certificate, an attestation, a certificate."""
    first = case(predicate(1)).certificate
    second = attested(2, sha256_of(first), day=1)
    return [first, second, case(predicate(3, sha256_of(second))).certificate]


def test_its_bytes_are_the_golden_ones(update_goldens: bool) -> None:
    if update_goldens:
        GOLDEN.write_bytes(attested())
    assert attested() == GOLDEN.read_bytes()


def test_a_chain_of_both_kinds_holds_and_says_what_was_rebuilt() -> None:
    chain = check_chain(a_chain(), RING)

    assert [link.sequence for link in chain] == [1, 2, 3]
    assert [link.name for link in chain] == ["opt-out-0001", "merge state 3", "opt-out-0003"]
    later = rebuilt_since(chain[0], chain)
    assert later is not None and later.sequence == 2
    assert rebuilt_since(chain[2], chain) is None


def test_a_chain_without_its_attestation_is_broken() -> None:
    first, _, third = a_chain()
    with pytest.raises(EvidenceError, match="certificate 2 is missing"):
        check_chain([first, third], RING)


def test_no_byte_of_it_can_change() -> None:
    data, apart = attested(), single_file_verifier()
    keys = apart.read_keys(SIGNER.public.pem, [])
    assert apart.open_attestation(data, keys)["predicate"]["sequence"] == 1
    for other in mutations(data, 300):
        with pytest.raises(EvidenceError):
            read_link(other, RING, "the attestation")
        with pytest.raises(SystemExit):
            apart.open_attestation(other, keys)


def test_it_is_no_certificate_and_a_certificate_is_none() -> None:
    with pytest.raises(EvidenceError, match="certifies no opt-out"):
        read_certificate(attested(), RING, "the file")
    with pytest.raises(EvidenceError):
        form.read(case().certificate, RING.keys, "the file")


def test_one_that_contradicts_itself_is_refused() -> None:
    content, _ = form.read(attested(), RING.keys, "the attestation")
    about = content.predicate
    other = about.state.model_copy(update={"state_sha256": sha("another state")})
    for lie in ({"state": other}, {"sequence": 2}, {"previous": "0" * 64}):
        said = content.model_copy(update={"predicate": about.model_copy(update=lie)})
        with pytest.raises(EvidenceError, match="contradicts itself"):
            form.read(SIGNER.sign(encode(said)), RING.keys, "the attestation")


def test_another_key_attests_nothing() -> None:
    about = form.read(attested(), RING.keys, "the attestation")[0].predicate
    with pytest.raises(EvidenceError):
        read_link(form.sign(about, sha("export"), signing_key(2)), RING, "the attestation")
