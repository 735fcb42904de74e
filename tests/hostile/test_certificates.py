"""Whoever can sign: an issuer who lies, or one who found a key. The rules alone can refuse them.

Each case is signed as it stands, and goes to both verifiers, ours and the single file that shares
no code with it. They answer the same.
"""

import copy
import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lineage.certificates.chain import check_chain, read_link
from lineage.certificates.envelope import SigningKey, canonical
from lineage.certificates.keys import KeyRing
from lineage.errors import LineageError
from sift_bytes import sha256_of
from tests.support.evidence import (
    SIGNER,
    case,
    predicate,
    record,
    signing_key,
    single_file_verifier,
)

NEXT = signing_key(2)
APART = single_file_verifier()
Said = dict[str, Any]


def _at(*path: Any) -> Callable[[Any], Callable[[Said], None]]:
    """Put another value at a place of the statement."""

    def to(value: Any) -> Callable[[Said], None]:
        def change(said: Said) -> None:
            *folders, last = path
            for name in folders:
                said = said[name]
            said[last] = value

        return change

    return to


def _without(*path: Any) -> Callable[[Said], None]:
    def change(said: Said) -> None:
        *folders, last = path
        for name in folders:
            said = said[name]
        del said[last]

    return change


_about = ("predicate",)
CASES: dict[str, Callable[[Said], None]] = {
    "a check that failed": _at(*_about, "verification", "checks", 0, "passed")(False),
    "a check that passed as a number": _at(*_about, "verification", "checks", 0, "passed")(1),
    "no checks": _at(*_about, "verification", "checks")([]),
    "other evidence": _at(*_about, "verification", "evidence")("my word"),
    "an object that was not absent": _at(*_about, "destruction", "absent")(6),
    "fewer than none destroyed": _at(*_about, "destruction")({"objects": -1, "absent": -1}),
    "half an object": _at(*_about, "destruction")({"objects": 1.5, "absent": 1.5}),
    "a subject twice": lambda said: said["subject"].append(said["subject"][-1]),
    "subjects in another order": lambda said: said["subject"].reverse(),
    "a subject without a name": _at("subject", 0, "name")(""),
    "a subject with another digest too": _at("subject", 0, "digest", "md5")("0" * 32),
    "a digest in capitals": lambda said: said["subject"][0]["digest"].update(
        sha256=said["subject"][0]["digest"]["sha256"].upper()
    ),
    "no report": lambda said: said["subject"].remove(
        next(own for own in said["subject"] if own["name"] == "report.json")
    ),
    "another merge state": _at(*_about, "state", "state_sha256")("0" * 64),
    "no merge state": _at(*_about, "state")(None),
    "other served weights": _at(*_about, "model", "served_sha256")("0" * 64),
    "a field more": _at(*_about, "note")("all is well"),
    "a field more in the statement": _at("note")("all is well"),
    "a field more deep inside": _at(*_about, "scope", "name")("cyd"),
    "a field less": _without(*_about, "audit_head"),
    "another type": _at("_type")("https://in-toto.io/Statement/v0.1"),
    "another predicate": _at("predicateType")("urn:sift-masks:opt-out-certificate:2"),
    "a key record's type": _at("predicateType")("urn:sift-masks:key-record:1"),
    "digests that do not add up": _at(*_about, "change", "digest_of_change", 0)("7"),
    "a lane less": lambda said: said["predicate"]["change"]["digest_after"].pop(),
    "a digest beyond 64 bits": lambda said: said["predicate"]["state"].update(
        linear_digest=[str(2**64), "0"]
    ),
    "a digest with a zero before it": lambda said: said["predicate"]["state"].update(
        linear_digest=["01", "0"]
    ),
    "a digest in other digits": lambda said: said["predicate"]["state"].update(
        linear_digest=["\u0661", "0"]
    ),
    "no requests": _at(*_about, "change", "requests")([]),
    "a number below one": _at(*_about, "sequence")(0),
    "a number as text": _at(*_about, "sequence")("1"),
    "the first with one before it": _at(*_about, "previous")("0" * 64),
    "the second with none before it": _at(*_about, "sequence")(2),
    "certified before it was received": _at(*_about, "certified_at")("2020-01-01T00:00:00Z"),
    "a time without a zone": _at(*_about, "received_at")("2026-03-02T08:30:00.250000"),
    "a time with an offset": _at(*_about, "received_at")("2026-03-02T08:30:00+00:00"),
    "a day that is not": _at(*_about, "received_at")("2026-02-30T08:30:00Z"),
    "no time": _at(*_about, "received_at")("today"),
    "a contributor by name": _at(*_about, "scope", "contributor_key")("cyd"),
    "no records": _at(*_about, "scope", "records")(0),
    "no request": _at(*_about, "request_id")(""),
    "a NUL": _at(*_about, "request_id")("opt-out\x000001"),
    "a grid nobody has": _at(*_about, "state", "grid_bits")(99),
    "a list for a statement": _at("predicate")([]),
}


def payload(data: bytes) -> Said:
    said: Said = json.loads(b64decode(json.loads(data)["payload"]))
    return said


def signed(said: Any, signer: SigningKey = SIGNER) -> bytes:
    return signer.sign(canonical(said))


def ours(certificates: Sequence[bytes], records: Sequence[bytes] = ()) -> bool:
    """Whether our verifier takes the last of these certificates in the chain of all."""
    try:
        ring = KeyRing.of(SIGNER.public, records)
        read_link(certificates[-1], ring, "the certificate")
        check_chain(certificates, ring)
    except LineageError:
        return False
    return True


def theirs(certificates: Sequence[bytes], records: Sequence[bytes] = ()) -> bool:
    """Whether the single file takes it."""
    try:
        keys = APART.read_keys(SIGNER.public.pem, list(records))
        APART.open_certificate(certificates[-1], keys)
        APART.check_chain(list(certificates), keys, certificates[-1])
    except SystemExit:
        return False
    return True


def test_both_take_what_is_as_it_must_be() -> None:
    said = payload(case().certificate)
    assert signed(said) == case().certificate
    assert ours([signed(said)]) and theirs([signed(said)])
    for name in ("change", "audit_head", "verification"):
        less = copy.deepcopy(said)
        less["predicate"][name] = None
        assert ours([signed(less)]) and theirs([signed(less)])


@pytest.mark.parametrize("name", CASES)
def test_neither_takes_what_contradicts_the_rules(name: str) -> None:
    said = payload(case().certificate)
    CASES[name](said)
    data = signed(said)
    assert (ours([data]), theirs([data])) == (False, False)


FIRST = case().certificate
SECOND = case(predicate(2, sha256_of(FIRST))).certificate
BY_NEXT = case(predicate(2, sha256_of(FIRST)), NEXT).certificate
AGAIN = case(predicate(2, sha256_of(FIRST)).model_copy(update={"request_id": "opt-out-0001"}))
EARLY = case(
    predicate(2, sha256_of(FIRST)).model_copy(
        update={name: predicate(1).received_at for name in ("received_at", "certified_at")}
    )
)
RETIRED = record(KeyRing.of(SIGNER.public), SIGNER, NEXT, 1)
FORKED = record(KeyRing.of(SIGNER.public), SIGNER, signing_key(3), 1)
FOLLOWING = record(KeyRing.of(SIGNER.public, [RETIRED]), NEXT, signing_key(3), 1)
BY_RETIRED = record(KeyRing.of(SIGNER.public, [RETIRED]), SIGNER, signing_key(3), 1)


def _record(change: Callable[[Said], None]) -> bytes:
    said = payload(RETIRED)
    change(said)
    return signed(said)


CHAINS: dict[str, tuple[bool, list[bytes], list[bytes]]] = {
    "one key": (True, [FIRST, SECOND], []),
    "a key and its successor": (True, [FIRST, BY_NEXT], [RETIRED]),
    "two successors": (True, [FIRST], [RETIRED, FOLLOWING]),
    "a retired key": (False, [FIRST, SECOND], [RETIRED]),
    "a key not yet in use": (False, [case(signer=NEXT).certificate], [RETIRED]),
    "a key that no record names": (False, [FIRST, BY_NEXT], []),
    "two for one request": (False, [FIRST, AGAIN.certificate], []),
    "the same twice": (False, [FIRST, FIRST], []),
    "one missing": (False, [SECOND], []),
    "dated back": (False, [FIRST, EARLY.certificate], []),
    "a forked record": (False, [FIRST], [RETIRED, FORKED]),
    "a record twice": (False, [FIRST], [RETIRED, RETIRED]),
    "a record by a retired key": (False, [FIRST], [RETIRED, BY_RETIRED]),
    "a record missing": (False, [FIRST], [FOLLOWING]),
    "a certificate for a record": (False, [FIRST], [FIRST]),
    "a record for a certificate": (False, [RETIRED], []),
    "a record with a field more": (False, [FIRST], [_record(_at("predicate", "x")(1))]),
    "a record of another purpose": (False, [FIRST], [_record(_at("predicate", "purpose")("all"))]),
    "a record of no key": (False, [FIRST], [_record(_at("predicate", "public_key")("none"))]),
    "a record of another key": (
        False,
        [FIRST],
        [_record(_at("predicate", "public_key")(signing_key(4).public.pem.decode()))],
    ),
    "a record that ends a key in the past": (
        False,
        [FIRST],
        [_record(_at("predicate", "certificates")(-1))],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_both_verifiers_say_the_same_of_a_chain_and_its_keys(name: str) -> None:
    holds, certificates, records = CHAINS[name]
    assert (ours(certificates, records), theirs(certificates, records)) == (holds, holds)
