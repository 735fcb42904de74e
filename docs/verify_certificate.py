"""Check the certificate of an opt-out without trusting the program that wrote it.

    python verify_certificate.py certificate.dsse.json --key 0000.pem
        --report reports/opt-out-0001 --model exported --lineage members.jsonl --chain reports

Needs `cryptography`. Give --key for each of the issuer's keys. evidence.md describes the format.
"""

import argparse
import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
TYPES = ("https://in-toto.io/Statement/v1", "urn:sift-masks:opt-out-certificate:1")
LEVELS = ("report", "model", "lineage", "chain")


class RefusedError(SystemExit):
    """Something does not hold: the program ends with exit code 1."""


def require(holds: bool, otherwise: str) -> None:
    """Refuse unless something holds."""
    if not holds:
        raise RefusedError(f"REFUSED: {otherwise}")


def parse(data: bytes, what: str) -> Any:
    """JSON in its one canonical spelling, so that no byte can change and leave the same JSON."""
    try:
        value = json.loads(data)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        same = f"{text}\n".encode() == data
    except (ValueError, RecursionError):
        same = False
    require(same, f"{what} is not canonical JSON")
    return value


def unbase64(text: str) -> bytes:
    """Base64 in its one canonical spelling."""
    data = base64.b64decode(text)
    require(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data


def load_keys(pems: list[bytes]) -> dict[str, Ed25519PublicKey]:
    """Keys by their id, the SHA-256 of the DER form."""
    keys = [load_pem_public_key(pem) for pem in pems]
    require(all(isinstance(key, Ed25519PublicKey) for key in keys), "a key is not Ed25519")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {sha256(key.public_bytes(*form)).hexdigest(): key for key in keys}


def open_certificate(data: bytes, keys: dict[str, Ed25519PublicKey]) -> dict[str, Any]:
    """The signed statement. DSSE signs the payload and its type, each with its length."""
    envelope = parse(data, "the certificate")
    try:
        (signature,) = envelope.pop("signatures")
        payload, key = unbase64(envelope.pop("payload")), keys.get(signature.pop("keyid"))
        require(key is not None, "signed by a key that is not among the given ones")
        signed = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
        key.verify(unbase64(signature.pop("sig")), signed)
        require((envelope, signature) == ({"payloadType": PAYLOAD_TYPE}, {}), "other fields")
    except (AttributeError, KeyError, TypeError, ValueError, InvalidSignature) as error:
        raise RefusedError(f"REFUSED: no valid signature ({type(error).__name__})") from error
    statement = parse(payload, "the statement")
    require((statement["_type"], statement["predicateType"]) == TYPES, "no opt-out certificate")
    if change := statement["predicate"]["change"]:  # null where nothing left the merge
        lanes = (change["digest_before"], change["digest_of_change"], change["digest_after"])
        for before, own, after in zip(*lanes, strict=True):
            require((int(before) + int(own)) % 2**64 == int(after), "before + change is not after")
    return statement


def check_files(statement: dict[str, Any], files: dict[str, bytes], prefix: str = "") -> None:
    """These are certified; with a prefix, exactly these of all whose name starts so."""
    subjects = {own["name"]: own["digest"]["sha256"] for own in statement["subject"]}
    if prefix:
        named = {name.removeprefix(prefix) for name in subjects if name.startswith(prefix)}
        require(named == files.keys() != set(), "other files than certified")
    for name, data in files.items():
        digest = sha256(data).hexdigest()
        require(subjects.get(prefix + name) == digest, f"{name} is not the certified bytes")


def check_lineage(statement: dict[str, Any], data: bytes) -> None:
    """The members' digests sum to the state's, and who left is not among them."""
    check_files(statement, {"lineage.jsonl": data})
    _, *members = [parse(line, "the lineage export") for line in data.splitlines(keepends=True)]
    state, scope = statement["predicate"]["state"], statement["predicate"]["scope"]
    require(len(members) == state["members"], "another number of members than certified")
    for lane, value in enumerate(state["linear_digest"]):
        total = sum(int(member["linear_digest"][lane]) for member in members) % 2**64
        require(total == int(value), f"the members do not sum to the state in lane {lane}")
    gone = scope["contributor_key"] if scope["records"] is None else None
    require(all(own["contributor_key"] != gone for own in members), "who left is still a member")


def check_chain(certificates: list[bytes], keys: dict[str, Ed25519PublicKey], own: bytes) -> None:
    """All certificates of the issuer: numbered 1, 2, 3…, each naming the one before, in time."""
    require(own in certificates, "this certificate is not in the chain")
    opened = [open_certificate(data, keys)["predicate"] for data in certificates]
    links = sorted(zip(opened, certificates, strict=True), key=lambda link: link[0]["sequence"])
    before, time = None, datetime.min.replace(tzinfo=UTC)
    for number, (about, data) in enumerate(links, start=1):
        at = datetime.fromisoformat(about["certified_at"])
        follows = (about["sequence"], about["previous"]) == (number, before)
        require(follows, f"certificate {number} is missing, doubled, or follows another")
        require(time <= at, f"certificate {number} is dated before the one before")
        before, time = sha256(data).hexdigest(), at


def main() -> None:
    """Check what the command line names."""
    options = argparse.ArgumentParser(description="Check the certificate of an opt-out.")
    options.add_argument("certificate", type=Path)
    options.add_argument("--key", type=Path, action="append", required=True)
    for name in LEVELS:
        options.add_argument(f"--{name}", type=Path)
    given = options.parse_args()
    own, keys = given.certificate.read_bytes(), load_keys([key.read_bytes() for key in given.key])
    statement = open_certificate(own, keys)
    print(f"signature: holds, for {statement['predicate']['request_id']}")
    if given.report:
        for name in ("report.json", "report.html"):
            check_files(statement, {name: (given.report / name).read_bytes()})
    if given.model:
        paths = [path for path in given.model.rglob("*") if path.is_symlink() or not path.is_dir()]
        files = {path.relative_to(given.model).as_posix(): path.read_bytes() for path in paths}
        check_files(statement, files, "model/")
    if given.lineage:
        check_lineage(statement, given.lineage.read_bytes())
    if given.chain:
        found = [path.read_bytes() for path in given.chain.rglob("*certificate*.dsse.json")]
        check_chain(found, keys, own)
    for name in LEVELS:
        print(f"{name}: {'holds' if getattr(given, name) else 'not given, not checked'}")


if __name__ == "__main__":
    main()
