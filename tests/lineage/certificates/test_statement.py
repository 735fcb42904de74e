"""Certificates: their bytes, and that not a single byte can be another one."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import rfc8785
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import STATEMENT_TYPE_URI
from in_toto_attestation.v1.statement import Statement as OfficialStatement

from lineage.certificates.chain import check_chain, read_link
from lineage.certificates.envelope import EvidenceError, KeyFileError, PublicKey, SigningKey
from lineage.certificates.levels import check_lineage, check_model, check_report
from lineage.certificates.statement import (
    MEMBERS,
    PAGE,
    REPORT,
    SERVED,
    STATE,
    STATEMENT,
    Change,
    adds_up,
    encode,
    file_digest,
    read,
    sign,
    statement,
)
from lineage.state_export import read_export
from tests.support.evidence import (
    LEAVER,
    RING,
    SIGNER,
    Case,
    case,
    chain,
    export,
    mutations,
    predicate,
    signing_key,
    single_file_verifier,
)
from tests.support.population import sha

GOLDENS = Path(__file__).parent / "goldens"
MUTATIONS = 2000

Verifier = Callable[[Case], None]


def ours(of: Case, folder: Path) -> None:
    """Every level that needs no method, by our own code."""
    content = read_link(of.certificate, RING, "the certificate").content
    check_report(content, folder)
    check_model(content, folder / "model")
    check_lineage(content, of.lineage)


@pytest.fixture(scope="module")
def whole() -> Case:
    return case()


@pytest.fixture
def folder(tmp_path: Path, whole: Case) -> Path:
    return whole.write(tmp_path / "case").parent


@pytest.mark.parametrize("name", ["certificate.dsse.json", "lineage.jsonl", "key.pem"])
def test_the_bytes_of_a_certificate_are_the_golden_ones(
    name: str, whole: Case, update_goldens: bool
) -> None:
    files = {
        "certificate.dsse.json": whole.certificate,
        "lineage.jsonl": whole.lineage,
        "key.pem": SIGNER.public.pem,
    }
    if update_goldens:
        (GOLDENS / name).write_bytes(files[name])
    assert files[name] == (GOLDENS / name).read_bytes()


def test_a_certificate_holds_at_every_level(whole: Case, folder: Path) -> None:
    ours(whole, folder)


def test_the_official_libraries_agree(whole: Case) -> None:
    """in-toto's own package takes the statement, RFC 8785's own encoder gives these bytes."""
    payload = b64decode(json.loads(whole.certificate)["payload"])
    statement = json.loads(payload)
    official = OfficialStatement(
        [ResourceDescriptor(**subject).pb for subject in statement["subject"]],
        statement["predicateType"],
        statement["predicate"],
    )
    official.validate()
    assert statement["_type"] == STATEMENT == STATEMENT_TYPE_URI
    assert rfc8785.dumps(statement) + b"\n" == payload
    assert rfc8785.dumps(json.loads(whole.certificate)) + b"\n" == whole.certificate


def test_no_altered_certificate_is_accepted_by_either_verifier(whole: Case) -> None:
    """Every single byte as another one, and thousands of other small changes."""
    apart = single_file_verifier()
    keys = apart.read_keys(SIGNER.public.pem, [])
    apart.open_certificate(whole.certificate, keys)
    everywhere = [
        whole.certificate[:at] + bytes([byte ^ (1 << at % 8)]) + whole.certificate[at + 1 :]
        for at, byte in enumerate(whole.certificate)
    ]
    accepted = []
    for altered in (*everywhere, *mutations(whole.certificate, MUTATIONS)):
        for verify in (
            lambda data: read_link(data, RING, "the certificate"),
            lambda data: apart.open_certificate(data, keys),
        ):
            with suppress(EvidenceError, SystemExit):
                verify(altered)
                accepted.append(altered)
    assert accepted == []


@pytest.mark.parametrize("name", ["report.json", "report.html", "model/model.safetensors"])
def test_no_altered_file_is_accepted_by_either_verifier(
    whole: Case, folder: Path, name: str
) -> None:
    apart = single_file_verifier()
    statement = apart.open_certificate(whole.certificate, apart.read_keys(SIGNER.public.pem, []))
    content = read_link(whole.certificate, RING, "the certificate").content
    path = folder / name
    original = path.read_bytes()
    for number, altered in enumerate(mutations(original, MUTATIONS)):
        with pytest.raises(SystemExit):
            apart.check_files(statement, {name: altered})
        if number % 10:  # ours reads the disk, which is slow
            continue
        path.write_bytes(altered)
        with pytest.raises(EvidenceError):
            if name.startswith("model/"):
                check_model(content, folder / "model")
            else:
                check_report(content, folder)


def test_no_altered_lineage_export_is_accepted_by_either_verifier(whole: Case) -> None:
    """Nor would it be readable and add up, if only its SHA-256 were forged."""
    apart = single_file_verifier()
    statement = apart.open_certificate(whole.certificate, apart.read_keys(SIGNER.public.pem, []))
    content = read_link(whole.certificate, RING, "the certificate").content
    for altered in mutations(whole.lineage, MUTATIONS):
        with pytest.raises(EvidenceError):
            check_lineage(content, altered)
        with pytest.raises(SystemExit):
            apart.check_lineage(statement, altered)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "a space": lambda text: text.replace('":', '": ', 1),
    "no newline": lambda text: text.rstrip("\n"),
    "a second newline": lambda text: text + "\n",
    "a byte order mark": lambda text: "\ufeff" + text,
    "an escaped letter": lambda text: text.replace("payload", "p\\u0061yload", 1),
    "a field given twice": lambda text: text.replace("{", '{"payloadType":"x",', 1),
    "an unknown field": lambda text: text.replace('"signatures"', '"a":1,"signatures"', 1),
    "an unknown field of the signature": lambda text: text.replace('"sig":', '"a":1,"sig":', 1),
    "a second signature": lambda text: text.replace("}]", '},{"keyid":"a","sig":""}]', 1),
    "no signature": lambda text: text[: text.index('"signatures"')] + '"signatures":[]}\n',
    "base64 without padding": lambda text: text.replace('=",', '",', 1).replace('=="', '"'),
    "not JSON": lambda text: text[1:],
    "a list": lambda text: f"[{text}]",
    "nothing": lambda text: "",
    "deeply nested": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_of_the_same_certificate_is_refused(whole: Case, spelling: str) -> None:
    altered = SPELLINGS[spelling](whole.certificate.decode()).encode()
    apart = single_file_verifier()

    assert altered != whole.certificate
    with pytest.raises(EvidenceError):
        read_link(altered, RING, "the certificate")
    with pytest.raises(SystemExit):
        apart.open_certificate(altered, apart.read_keys(SIGNER.public.pem, []))


PAYLOADS: dict[str, Callable[[dict[str, object]], object]] = {
    "an unknown field": lambda said: {**said, "more": 1},
    "another statement": lambda said: {**said, "_type": "https://in-toto.io/Statement/v0.1"},
    "another predicate": lambda said: {**said, "predicateType": "urn:else"},
    "no subject": lambda said: {**said, "subject": []},
}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_signature_over_something_else_is_no_certificate(whole: Case, payload: str) -> None:
    said = json.loads(b64decode(json.loads(whole.certificate)["payload"]))
    signed = SIGNER.sign(rfc8785.dumps(PAYLOADS[payload](said)) + b"\n")

    with pytest.raises(EvidenceError):
        read(signed, RING.keys, "the certificate")


def test_a_payload_in_another_spelling_is_refused_even_when_signed(whole: Case) -> None:
    payload = b64decode(json.loads(whole.certificate)["payload"])
    with pytest.raises(EvidenceError, match="canonical"):
        read(SIGNER.sign(payload.replace(b'":', b'": ', 1)), RING.keys, "the certificate")


def test_another_key_is_refused(whole: Case) -> None:
    stranger = signing_key(9)
    with pytest.raises(EvidenceError, match="is not the given one"):
        read(case(signer=stranger).certificate, RING.keys, "the certificate")
    forged = json.loads(case(signer=stranger).certificate)
    forged["signatures"][0]["keyid"] = SIGNER.public.key_id
    with pytest.raises(EvidenceError, match="were altered"):
        read(rfc8785.dumps(forged) + b"\n", RING.keys, "the certificate")


def test_the_key_id_is_what_openssl_says(whole: Case) -> None:
    """SHA-256 of the DER form, whose last 32 bytes are the raw key (RFC 8410)."""
    der = b64decode(b"".join(SIGNER.public.pem.splitlines()[1:-1]))
    assert SIGNER.public.key_id == file_digest(der)
    assert json.loads(whole.certificate)["signatures"][0]["keyid"] == SIGNER.public.key_id


def test_a_certificate_that_contradicts_itself_is_not_signed(whole: Case) -> None:
    content = read_link(whole.certificate, RING, "the certificate").content
    about = content.predicate
    assert about.change is not None and about.state is not None
    lies = [
        {"change": about.change.model_copy(update={"digest_before": ("1", "2")})},
        {"state": None},
        {"model": None},
        {"previous": "0" * 64},
        {"sequence": 2},
        {"certified_at": about.received_at - timedelta(seconds=1)},
        {"destruction": about.destruction.model_copy(update={"absent": 6})},
    ]
    for lie in lies:
        said = content.model_copy(update={"predicate": about.model_copy(update=lie)})
        with pytest.raises(EvidenceError, match="contradicts itself"):
            sign(said, SIGNER)
        with pytest.raises(EvidenceError, match="contradicts itself"):
            read(SIGNER.sign(encode(said)), RING.keys, "the certificate")


def test_a_lane_wraps_at_two_to_the_64() -> None:
    change = predicate().change
    assert change is not None and adds_up(change)
    wrong = Change(**change.model_dump() | {"digest_after": change.digest_before})
    assert not adds_up(wrong)


@pytest.mark.parametrize(
    "report", [b"", b"[]", b"{}", b"[" * 100_000, case().report.replace(b"0001", b"0002")]
)
def test_a_signed_report_of_something_else_is_refused(tmp_path: Path, report: bytes) -> None:
    """An issuer may sign anything; certificate and report still have to say the same."""
    subjects = {REPORT: file_digest(report), PAGE: file_digest(b""), SERVED: sha("served")}
    subjects |= {MEMBERS: sha("members"), STATE: sha("state after")}
    signed = sign(statement(subjects, predicate()), SIGNER)
    (tmp_path / "report.json").write_bytes(report)
    (tmp_path / "report.html").write_bytes(b"")
    with pytest.raises(EvidenceError, match=r"no report|another request"):
        check_report(read_link(signed, RING, "the certificate").content, tmp_path)


# ---- files -------------------------------------------------------------------------------------


def test_a_model_folder_has_exactly_the_certified_files(whole: Case, folder: Path) -> None:
    content = read_link(whole.certificate, RING, "the certificate").content
    more = folder / "model" / "more.bin"
    more.write_bytes(b"")
    with pytest.raises(EvidenceError, match="is not among the certified files"):
        check_model(content, folder / "model")
    more.unlink()
    (folder / "model" / "config.json").rename(folder / "elsewhere")
    with pytest.raises(EvidenceError, match="is missing"):
        check_model(content, folder / "model")
    (folder / "model" / "config.json").symlink_to(folder / "elsewhere")
    with pytest.raises(EvidenceError, match="is a link"):
        check_model(content, folder / "model")


def test_an_export_reads_back_and_sums_up() -> None:
    head, members = read_export(export())
    assert head.members == len(members) == 3
    assert LEAVER not in {member.contributor_key for member in members}


def test_an_export_with_members_out_of_order_is_refused() -> None:
    head, first, second, third = export().splitlines(keepends=True)
    for lines in ([head, second, first, third], [head, first, first, third], [head, first, second]):
        with pytest.raises(EvidenceError, match="its members"):
            read_export(b"".join(lines))


# ---- the chain ---------------------------------------------------------------------------------


def test_a_whole_chain_holds_in_whatever_order_it_is_read() -> None:
    first, second, third = chain()
    links = check_chain([third, first, second], RING)
    assert [link.sequence for link in links] == [1, 2, 3]


def test_a_missing_certificate_shows() -> None:
    first, second, third = chain()
    for some, missing in (([first, third], 2), ([second, third], 1)):
        with pytest.raises(EvidenceError, match=f"certificate {missing} is missing"):
            check_chain(some, RING)


def test_a_replaced_a_doubled_and_a_back_dated_certificate_show() -> None:
    first, second, third = chain()
    other = case(predicate(1).model_copy(update={"code_version": "other"})).certificate
    with pytest.raises(EvidenceError, match="follows another certificate 1"):
        check_chain([other, second, third], RING)
    with pytest.raises(EvidenceError, match="there twice"):
        check_chain([first, second, second, third], RING)
    early = predicate(2, file_digest(first))
    early = early.model_copy(
        update={
            "certified_at": predicate(1).certified_at - timedelta(minutes=1),
            "received_at": predicate(1).received_at - timedelta(days=9),
        }
    )
    with pytest.raises(EvidenceError, match="certificate 2 is dated before certificate 1"):
        check_chain([first, case(early).certificate], RING)
    again = predicate(2, file_digest(first)).model_copy(update={"request_id": "opt-out-0001"})
    with pytest.raises(EvidenceError, match="opt-out-0001 has two certificates"):
        check_chain([first, case(again).certificate], RING)


def test_the_single_file_finds_the_same_in_a_chain() -> None:
    apart = single_file_verifier()
    keys = apart.read_keys(SIGNER.public.pem, [])
    first, second, third = chain()
    apart.check_chain([third, first, second], keys, second)
    for some in ([first, third], [second, third], [first, second, second, third]):
        with pytest.raises(SystemExit):
            apart.check_chain(some, keys, third)
    with pytest.raises(SystemExit, match="not in the chain"):
        apart.check_chain([first, second], keys, third)


# ---- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pem", [b"", b"no key", SIGNER.public.pem[:-30], SIGNER.pem()])
def test_what_is_no_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyFileError, match="not an Ed25519 public key"):
        PublicKey.from_pem(pem, "the file")


def test_an_unreadable_private_key_is_refused_without_showing_it() -> None:
    broken = SIGNER.pem().replace(b"M", b"N", 1)
    with pytest.raises(KeyFileError) as caught:
        SigningKey.from_pem(broken, "signing.pem")
    assert broken.splitlines()[1].decode() not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_signature_is_the_same_every_time() -> None:
    assert SIGNER.sign(b"{}\n") == SIGNER.sign(b"{}\n")
    assert b64encode(b"{}\n") in SIGNER.sign(b"{}\n")
