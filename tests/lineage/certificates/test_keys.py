"""Keys that follow from a trusted one, each for its own time."""

from datetime import timedelta

import pytest

from lineage.certificates.chain import check_chain, read_link
from lineage.certificates.envelope import EvidenceError, SigningKey
from lineage.certificates.keys import KeyRing, name_key
from sift_bytes import sha256_of
from tests.support.evidence import (
    RING,
    SIGNER,
    START,
    case,
    mutations,
    predicate,
    record,
    signing_key,
)

NEXT, LAST = signing_key(2), signing_key(3)


def rotated() -> tuple[KeyRing, list[bytes]]:
    """A ring after two rotations, at certificates 1 and 1 (none was signed with the second key)."""
    first = record(RING, SIGNER, NEXT, 1)
    second = record(RING.then(first), NEXT, LAST, 1)
    return KeyRing.of(SIGNER.public, [first, second]), [first, second]


def test_each_key_signs_the_certificates_of_its_time() -> None:
    ring, _ = rotated()
    assert [(term.first, term.last) for term in ring.terms] == [(1, 1), (2, 1), (2, None)]
    assert ring.current.key_id == LAST.public.key_id

    first = case(predicate(1), SIGNER).certificate
    second = case(predicate(2, sha256_of(first)), LAST).certificate
    assert len(check_chain([first, second], ring)) == 2


@pytest.mark.parametrize(("number", "signer"), [(2, SIGNER), (1, LAST), (2, NEXT)])
def test_a_key_signs_nothing_outside_its_time(number: int, signer: SigningKey) -> None:
    """So whoever finds a retired key cannot date a certificate back into its time, nor go on."""
    ring, _ = rotated()
    previous = None if number == 1 else "0" * 64
    data = case(predicate(number, previous), signer).certificate
    with pytest.raises(EvidenceError, match="another had replaced by then"):
        read_link(data, ring, "the certificate")


def test_who_trusts_a_later_key_alone_can_still_check_its_certificates() -> None:
    data = case(predicate(2, "0" * 64), LAST).certificate
    assert read_link(data, KeyRing.of(LAST.public), "the certificate").sequence == 2


def test_a_record_that_is_missing_doubled_or_of_another_key_is_refused() -> None:
    _, (first, second) = rotated()
    for some in ([second], [first, first], [second, first]):
        with pytest.raises(EvidenceError):
            KeyRing.of(SIGNER.public, some)
    with pytest.raises(EvidenceError):
        KeyRing.of(LAST.public, [first])


def test_no_altered_record_is_accepted() -> None:
    _, (first, _) = rotated()
    for altered in mutations(first, 500):
        with pytest.raises(EvidenceError):
            KeyRing.of(SIGNER.public, [altered])


def test_a_retired_key_cannot_name_another() -> None:
    ring, records = rotated()
    forged = name_key(ring, SIGNER, "certificates", signing_key(9).public.pem, START, 5)
    with pytest.raises(EvidenceError, match="is not the given one"):
        KeyRing.of(SIGNER.public, [*records, forged])


def test_a_key_of_model_folders_signs_no_certificate() -> None:
    later = START + timedelta(days=1)
    data = name_key(RING, SIGNER, "models", NEXT.public.pem, later, 0)
    ring = RING.then(data)
    assert ring.model_keys == (NEXT.public.pem.decode(),)
    assert ring.current.key_id == SIGNER.public.key_id
    with pytest.raises(EvidenceError):
        read_link(case(signer=NEXT).certificate, ring, "the certificate")


def test_a_record_whose_key_is_no_canonical_pem_is_refused() -> None:
    with pytest.raises(EvidenceError, match="no public key"):
        name_key(RING, SIGNER, "models", b"no key", START, 0)
    with pytest.raises(EvidenceError, match="canonical PEM"):
        name_key(RING, SIGNER, "models", NEXT.public.pem + b"\n", START, 0)
