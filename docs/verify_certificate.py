"""Check the certificate of an opt-out without trusting the program that wrote it.

    python verify_certificate.py certificate.dsse.json --key public
        --report reports/opt-out-0001 --model exported --lineage members.jsonl --chain reports

Needs `cryptography`. --key is the folder of the issuer's first key and key records. evidence.md
describes the formats.
"""

import argparse
import base64
import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LEVELS = ("report", "model", "lineage", "chain")
FIRST, RECORDS = "0000.pem", "*.dsse.json"
Keys = list[tuple[str, Ed25519PublicKey, int, int]]
"""Each key's id, the key, and the numbers of the first and last certificate it may sign."""

# Forms: a dict has exactly these fields, [x] is one x or more, a tuple is one of these.
TEXT, SHA, KEY = (re.compile(form) for form in (r"[^\0]+", r"[0-9a-f]{64}", r"[0-9a-f]{32}"))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(?!000000)\d{6})?Z")
LANES = [re.compile(r"0|[1-9]\d{0,19}", re.ASCII)]
COUNT, NUMBER, SEED = range(2**63), range(1, 2**31), range(2**63)
CHANGE = {"requests": [TEXT], "state_before": SHA, "state_after": SHA, "members_before": COUNT}
CHANGE |= {"members_after": COUNT, "digest_before": LANES, "digest_of_change": LANES}
STATE = {"state_seq": NUMBER, "state_sha256": SHA, "members": COUNT, "linear_digest": LANES}
STATE |= {"base_id": SHA, "grid_bits": range(8, 61), "sign_seed": SEED, "digest_seed": SEED}
MODEL = {"name": TEXT, "version": NUMBER, "served_sha256": SHA, "members_sha256": SHA}
MODEL |= {"member_mean": ("counted", "all")}
LEVEL = ("derived", "rebuilt")
PREDICATE = {
    "sequence": NUMBER,
    "previous": (None, SHA),
    "request_id": TEXT,
    "scope": {"contributor_key": KEY, "records": (None, range(1, 2**63))},
    "received_at": TIME,
    "certified_at": TIME,
    "code_version": TEXT,
    "change": (None, {**CHANGE, "digest_after": LANES}),
    "state": (None, STATE),
    "model": (None, MODEL),
    "verification": (
        None,
        {"level": LEVEL, "checks": [{"name": TEXT, "passed": True, "found": TEXT}]},
    ),
    "destruction": {"objects": COUNT, "absent": COUNT},
    "audit_head": (None, {"seq": range(1, 2**63), "sha256": SHA}),
}
ATTESTATION = {"sequence": NUMBER, "previous": (None, SHA), "attested_at": TIME, "state": STATE}
ATTESTATION |= {"code_version": TEXT, "rebuilt_from": ("stored vectors",)}
ATTESTATION |= {"audit_head": PREDICATE["audit_head"]}
RECORD = {"sequence": NUMBER, "previous": (None, SHA), "purpose": ("certificates", "models")}
RECORD |= {"public_key": TEXT, "at": TIME, "certificates": COUNT}


class RefusedError(SystemExit):
    """Something does not hold: the program ends with exit code 1."""


def require(holds: bool, otherwise: str) -> None:
    """Refuse unless something holds."""
    if not holds:
        raise RefusedError(f"REFUSED: {otherwise}")


def fits(value: Any, form: Any) -> bool:
    """Whether a JSON value has a form."""
    if isinstance(form, dict):
        return (
            isinstance(value, dict)
            and value.keys() == form.keys()
            and all(fits(value[name], own) for name, own in form.items())
        )
    if isinstance(form, list):
        return isinstance(value, list) and bool(value) and all(fits(one, form[0]) for one in value)
    if isinstance(form, tuple):
        return any(fits(value, one) for one in form)
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and bool(form.fullmatch(value)) and is_day(value, form)
    if isinstance(form, range):
        return type(value) is int and value in form
    return value == form if isinstance(form, str) else value is form


def is_day(text: str, form: re.Pattern[str]) -> bool:
    """Whether a text is no time, or one of the calendar."""
    try:
        return form is not TIME or bool(datetime.fromisoformat(text))
    except ValueError:
        return False


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


def load_key(pem: bytes) -> tuple[str, Any]:
    """A public key in its one canonical spelling, and its id: the SHA-256 of the DER form."""
    form = PublicFormat.SubjectPublicKeyInfo
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise RefusedError("REFUSED: no public key") from None
    require(key.public_bytes(Encoding.PEM, form) == pem, "a key that is not canonical")
    return sha256(key.public_bytes(Encoding.DER, form)).hexdigest(), key


def read_keys(first: bytes, records: list[bytes]) -> Keys:
    """The keys that follow from the first one: each named by the one in use before."""
    name, key = load_key(first)
    require(isinstance(key, Ed25519PublicKey), "the first key is not Ed25519")
    keys, before = [(name, key, 1, 2**31)], None
    for number, data in enumerate(records, start=1):
        said = open_envelope(data, keys[-1:], "urn:sift-masks:key-record:1", RECORD)
        about, new = said["predicate"], load_key(said["predicate"]["public_key"].encode())
        follows = (about["sequence"], about["previous"]) == (number, before)
        require(follows, f"key record {number} is missing, doubled, or follows another")
        named = [{"name": said["subject"][0]["name"], "digest": {"sha256": new[0]}}]
        require(said["subject"] == named, f"key record {number} names another key")
        if about["purpose"] == "certificates":
            require(isinstance(new[1], Ed25519PublicKey), f"key {number} is not Ed25519")
            require(about["certificates"] >= keys[-1][2] - 1, "a key ends before it began")
            keys[-1] = (*keys[-1][:3], about["certificates"])
            keys.append((*new, about["certificates"] + 1, 2**31))
        before = sha256(data).hexdigest()
    return keys


def kind_of(data: bytes) -> Any:
    """What a signed statement says that it is; nothing of it is believed yet."""
    try:
        payload = unbase64(parse(data, "the envelope")["payload"])
        return parse(payload, "the statement")["predicateType"]
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError("REFUSED: no signed statement") from error


def open_envelope(data: bytes, keys: Keys, kind: str, form: dict[str, Any]) -> dict[str, Any]:
    """The signed statement. DSSE signs the payload and its type, each with its length."""
    envelope = parse(data, "the envelope")
    try:
        (signature,) = envelope.pop("signatures")
        payload, name = unbase64(envelope.pop("payload")), signature.pop("keyid")
        key = next((own for own in keys if own[0] == name), None)
        require(key is not None, "signed by a key that is not among the given ones")
        signed = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
        key[1].verify(unbase64(signature.pop("sig")), signed)
        require((envelope, signature) == ({"payloadType": PAYLOAD_TYPE}, {}), "other fields")
    except (AttributeError, KeyError, TypeError, ValueError, InvalidSignature) as error:
        raise RefusedError(f"REFUSED: no valid signature ({type(error).__name__})") from error
    statement = parse(payload, "the statement")
    subjects = [{"name": TEXT, "digest": {"sha256": SHA}}]
    whole = {"_type": "https://in-toto.io/Statement/v1", "predicateType": kind}
    whole |= {"subject": subjects, "predicate": form}
    require(fits(statement, whole), f"it is not of the form {kind}")
    number = statement["predicate"]["sequence"]
    in_time = form is RECORD or key[2] <= number <= key[3]
    require(in_time, "its key was retired, or not in use yet: it may be back-dated")
    return statement


def open_certificate(data: bytes, keys: Keys) -> dict[str, Any]:
    """The statement of a certificate that was signed in the time of its key and says one thing."""
    statement = open_envelope(data, keys, "urn:sift-masks:opt-out-certificate:1", PREDICATE)
    about, subjects = statement["predicate"], statement["subject"]
    named = {own["name"]: own["digest"]["sha256"] for own in subjects}
    state, model, change = about["state"] or {}, about["model"] or {}, about["change"]
    order = [own["name"] for own in subjects]
    require(order == sorted(named), "its subjects are not in order or not different")
    require({"report.json", "report.html"} <= named.keys(), "it names no report")
    same = named.get("merge-state.safetensors") == state.get("state_sha256")
    require(same, "its merge state is not its subject")
    served = named.get("served-weights") == model.get("served_sha256")
    require(served, "its served weights are not its subject")
    shared = named.get("members-weights") == model.get("members_sha256")
    require(shared, "its members' weights are not its subject")
    gone = about["destruction"]
    require(gone["objects"] == gone["absent"], "an object was not proven absent")
    require(
        (about["sequence"] == 1) == (about["previous"] is None), "the first alone has none before"
    )
    times = [datetime.fromisoformat(about[name]) for name in ("received_at", "certified_at")]
    require(times == sorted(times), "it is dated before its request")
    if change:
        lanes = [change[f"digest_{which}"] for which in ("before", "of_change", "after")]
        require(len({len(own) for own in lanes}) == 1, "another number of lanes")
        for before, own, after in zip(*lanes, strict=True):
            require((int(before) + int(own)) % 2**64 == int(after), "before + change is not after")
    digests = [*(lanes if change else []), *([state["linear_digest"]] if state else [])]
    require(all(int(one) < 2**64 for own in digests for one in own), "a digest beyond 64 bits")
    return statement


def open_attestation(data: bytes, keys: Keys) -> dict[str, Any]:
    """The statement that a merge state was added up anew from its members' vectors alone."""
    statement = open_envelope(data, keys, "urn:sift-masks:rebuild-attestation:1", ATTESTATION)
    about, subjects = statement["predicate"], statement["subject"]
    state = [own["digest"]["sha256"] for own in subjects if own["name"] != "lineage.jsonl"]
    names = [own["name"] for own in subjects]
    require(names == ["lineage.jsonl", "merge-state.safetensors"], "it attests something else")
    require(state == [about["state"]["state_sha256"]], "its merge state is not its subject")
    require(
        (about["sequence"] == 1) == (about["previous"] is None), "the first alone has none before"
    )
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


def check_chain(certificates: list[bytes], keys: Keys, own: bytes) -> str:
    """All certificates of the issuer: numbered 1, 2, 3…, each naming the one before, in time.

    Returns how far the merge of this one is shown.
    """
    require(own in certificates, "this certificate is not in the chain")
    attests = [kind_of(data) == "urn:sift-masks:rebuild-attestation:1" for data in certificates]
    opened = [
        (open_attestation if attests else open_certificate)(data, keys)["predicate"]
        for data, attests in zip(certificates, attests, strict=True)
    ]
    links = sorted(zip(opened, certificates, strict=True), key=lambda link: link[0]["sequence"])
    before, time = None, datetime.min.replace(tzinfo=UTC)
    for number, (about, data) in enumerate(links, start=1):
        at = datetime.fromisoformat(about.get("certified_at") or about["attested_at"])
        follows = (about["sequence"], about["previous"]) == (number, before)
        require(follows, f"certificate {number} is missing, doubled, or follows another")
        require(time <= at, f"certificate {number} is dated before the one before")
        before, time = sha256(data).hexdigest(), at
    requests = [about["request_id"] for about in opened if "request_id" in about]
    require(len(set(requests)) == len(requests), "two for one request")
    mine = opened[certificates.index(own)]
    later = [about for about in opened if "request_id" not in about]
    later = [about["sequence"] for about in later if about["sequence"] > mine["sequence"]]
    if (mine["verification"] or {}).get("level") != "derived":
        return "rebuilt before it was signed"
    return f"derived, rebuilt since by number {min(later)}" if later else "derived, not rebuilt yet"


def main() -> None:
    """Check what the command line names."""
    options = argparse.ArgumentParser(description="Check the certificate of an opt-out.")
    options.add_argument("certificate", type=Path)
    options.add_argument("--key", type=Path, required=True, help="the folder of keys")
    for name in LEVELS:
        options.add_argument(f"--{name}", type=Path)
    given = options.parse_args()
    require((given.key / FIRST).is_file(), f"--key is the folder with {FIRST} and key records")
    records = [path.read_bytes() for path in sorted(given.key.glob(RECORDS))]
    keys = read_keys((given.key / FIRST).read_bytes(), records)
    own = given.certificate.read_bytes()
    statement = open_certificate(own, keys)
    print(f"signature: holds, for {statement['predicate']['request_id']}")
    if given.report:
        names = ("report.json", "report.html")
        check_files(statement, {name: (given.report / name).read_bytes() for name in names})
    if given.model:
        paths = [path for path in given.model.rglob("*") if path.is_symlink() or not path.is_dir()]
        files = {path.relative_to(given.model).as_posix(): path.read_bytes() for path in paths}
        check_files(statement, files, "model/")
    if given.lineage:
        check_lineage(statement, given.lineage.read_bytes())
    if given.chain:
        names = ("*certificate*.dsse.json", "*attestation*.dsse.json")
        found = [path.read_bytes() for name in names for path in given.chain.rglob(name)]
        print(f"merge: {check_chain(found, keys, own)}")
    for name in LEVELS:
        print(f"{name}: {'holds' if getattr(given, name) else 'not given, not checked'}")


if __name__ == "__main__":
    main()
