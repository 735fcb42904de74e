"""Certificates with a fixed key and fixed times, and what they speak of, without a workspace."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.certificates import statement as form
from lineage.certificates.envelope import SigningKey, canonical
from lineage.certificates.keys import KeyRing, name_key
from lineage.state_export import ExportedMember, ExportedState
from sift_bytes import sha256_of
from tests.support.paths import ROOT
from tests.support.population import key, sha

LANES = 2
MEMBERS = ("ada", "bob", "dan")
LEAVER = key("cyd")
START = datetime(2026, 3, 1, 9, 30, 0, 250000, tzinfo=UTC)


def signing_key(number: int = 1) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


SIGNER = signing_key()
RING = KeyRing.of(SIGNER.public)


def single_file_verifier() -> ModuleType:
    """`docs/verify_certificate.py` as a module."""
    path = ROOT / "docs" / "verify_certificate.py"
    spec = importlib.util.spec_from_file_location("verify_certificate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lanes(name: str) -> tuple[int, ...]:
    """A linear digest as good as random."""
    return tuple(int(sha(f"{name} {lane}")[:16], 16) for lane in range(LANES))


def total(names: tuple[str, ...]) -> tuple[str, ...]:
    """The digest of the sum, in decimal."""
    each = [lanes(name) for name in names]
    return tuple(str(sum(own[lane] for own in each) % 2**64) for lane in range(LANES))


def export() -> bytes:
    """The lineage export of the state without the leaver."""
    members = [
        ExportedMember(
            contributor_key=key(name),
            run_id=sha(f"run {name}"),
            dataset_sha256=sha(f"data {name}"),
            vector_sha256=sha(f"vector {name}"),
            mask_sha256=sha(f"mask {name}"),
            linear_digest=tuple(map(str, lanes(name))),
        )
        for name in MEMBERS
    ]
    head = ExportedState(
        state_seq=3,
        state_sha256=sha("state after"),
        base_id=sha("base"),
        members=len(members),
        linear_digest=total(MEMBERS),
    )
    members.sort(key=lambda member: member.contributor_key)
    lines = (head, *members)
    return b"".join(canonical(line.model_dump(mode="json")) for line in lines)


@dataclass(frozen=True)
class Case:
    """A certificate and the files it names."""

    certificate: bytes
    report: bytes
    page: bytes
    lineage: bytes
    model: dict[str, bytes]

    def write(self, folder: Path) -> Path:
        """All of it on disk as an auditor has it; the certificate's path."""
        (folder / "model").mkdir(parents=True)
        for name, data in self.model.items():
            (folder / "model" / name).write_bytes(data)
        (folder / "report.json").write_bytes(self.report)
        (folder / "report.html").write_bytes(self.page)
        (folder / "lineage.jsonl").write_bytes(self.lineage)
        path = folder / "certificate.dsse.json"
        path.write_bytes(self.certificate)
        return path


def predicate(sequence: int = 1, previous: str | None = None) -> form.Certificate:
    """What the certificate of request `sequence` says; one a day."""
    at = START + timedelta(days=sequence)
    before = total((*MEMBERS, "cyd"))
    change = form.Change(
        requests=(f"opt-out-{sequence:04}",),
        state_before=sha("state before"),
        state_after=sha("state after"),
        members_before=4,
        members_after=3,
        digest_before=before,
        digest_of_change=tuple(str(-own % 2**64) for own in lanes("cyd")),
        digest_after=total(MEMBERS),
    )
    state = form.State(
        state_seq=3,
        state_sha256=sha("state after"),
        members=3,
        linear_digest=total(MEMBERS),
        base_id=sha("base"),
        grid_bits=24,
        sign_seed=20250404,
        digest_seed=4626,
    )
    check = form.CheckResult(name="merge rebuilt from vectors", passed=True, found="bit for bit")
    return form.Certificate(
        sequence=sequence,
        previous=previous,
        request_id=f"opt-out-{sequence:04}",
        scope=form.Scope(contributor_key=LEAVER, records=None),
        received_at=at - timedelta(hours=1),
        certified_at=at,
        code_version="0.1.0",
        change=change,
        state=state,
        model=form.Model(
            name="demo",
            version=3,
            served_sha256=sha("served"),
            members_sha256=sha("members"),
            member_mean="counted",
        ),
        verification=form.Verification(level="rebuilt", checks=(check,)),
        destruction=form.Destruction(objects=7, absent=7),
        audit_head=form.AuditHead(seq=40 + sequence, sha256=sha(f"entry {sequence}")),
    )


def case(about: form.Certificate | None = None, signer: SigningKey = SIGNER) -> Case:
    """The certificate of a predicate, signed."""
    about = about or predicate()
    report = canonical(
        {"request_id": about.request_id, "contributor_key": LEAVER, "records": None, "é": "ü"}
    )
    page = b"<!doctype html><title>Opt-out</title>\n"
    model = {"config.json": b'{"a": 1}\n', "model.safetensors": bytes(range(256)) * 2}
    subjects = {
        form.REPORT: sha256_of(report),
        form.PAGE: sha256_of(page),
        form.LINEAGE: sha256_of(export()),
        form.STATE: sha("state after"),
        form.SERVED: sha("served"),
        form.MEMBERS: sha("members"),
        **{form.MODEL + name: sha256_of(data) for name, data in model.items()},
    }
    return Case(form.sign(form.statement(subjects, about), signer), report, page, export(), model)


def chain(length: int = 3) -> list[bytes]:
    """Certificates 1 to `length`, each naming the one before."""
    made: list[bytes] = []
    for number in range(1, length + 1):
        previous = sha256_of(made[-1]) if made else None
        made.append(case(predicate(number, previous)).certificate)
    return made


def record(ring: KeyRing, signer: SigningKey, new: SigningKey, certificates: int) -> bytes:
    """A key record by which one key names the next."""
    return name_key(ring, signer, "certificates", new.public.pem, START, certificates)


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`data` with one random byte altered, inserted or deleted; most are altered."""
    random = Random(seed)  # noqa: S311  not for secrets
    for number in range(count):
        at = random.randrange(len(data))
        other = bytes([(data[at] + random.randrange(1, 256)) % 256])
        if number % 8 == 6:
            yield data[:at] + other + data[at:]
        elif number % 8 == 7:
            yield data[:at] + data[at + 1 :]
        else:
            yield data[:at] + other + data[at + 1 :]
