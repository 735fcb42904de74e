"""A signed JSON document: a DSSE envelope under one Ed25519 key, in one canonical form.

Canonical means: JSON with sorted keys, no spaces, nothing escaped that need not be, one newline
at the end; without floats this is RFC 8785. A reader encodes what it read again and compares, so
that of all byte strings which mean the same, one alone is accepted: no byte can be altered, added
or hidden outside of what the signature covers.

DSSE: https://github.com/secure-systems-lab/dsse, protocol.md v1.0. Ed25519: RFC 8032.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, ValidationError

from lineage.errors import LineageError
from lineage.records import Sha256
from sift_bytes import canonical_json, sha256_of

PAYLOAD_TYPE = "application/vnd.in-toto+json"

SomeModel = TypeVar("SomeModel", bound=BaseModel)


class EvidenceError(LineageError):
    """A certificate, or what it speaks of, is not what was signed."""


class KeyFileError(LineageError):
    """A file does not hold the key it should hold."""

    exit_code = 2


class PublicKey:
    """An Ed25519 public key; `key_id` is the SHA-256 of its DER form, 64 hex characters.

    The same number as `openssl pkey -pubin -in KEY -outform DER | sha256sum`.
    """

    def __init__(self, key: Ed25519PublicKey) -> None:
        # It brings the clients of clouds' key stores, half a second: only for who signs or checks.
        from securesystemslib.signer import SSlibKey

        form = PublicFormat.SubjectPublicKeyInfo
        self.key_id = sha256_of(key.public_bytes(Encoding.DER, form))
        self.pem = key.public_bytes(Encoding.PEM, form)
        self.verifier = SSlibKey.from_crypto(key, keyid=self.key_id)

    @classmethod
    def from_pem(cls, pem: bytes, origin: str) -> "PublicKey":
        """Read a PEM file; `origin` names it in errors. Raises KeyFileError."""
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(
                f"{origin} is not an Ed25519 public key in PEM.",
                remedy="ask whoever issued the certificate for the output of `sift keys show`.",
            )
        return cls(key)


class SigningKey:
    """An Ed25519 private key. Its bytes leave this object by `pem` alone."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> "SigningKey":
        """Draw a new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, origin: str) -> "SigningKey":
        """Read an unencrypted PKCS#8 PEM. Raises KeyFileError, which never shows what was read."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            # Outside of `except`: the original error might quote the file.
            raise KeyFileError(
                f"{origin} is not an Ed25519 private key in PEM, unencrypted.",
                remedy="restore it from a backup, or name another file in SIFT_SIGNING_KEY.",
            )
        return cls(key)

    def pem(self) -> bytes:
        """The private key as PKCS#8 PEM, to be written where nobody else reads."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, payload: bytes) -> bytes:
        """The canonical envelope of a payload: the same bytes for the same payload and key."""
        from securesystemslib.dsse import Envelope
        from securesystemslib.signer import CryptoSigner

        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(CryptoSigner(self._key, self.public.verifier))
        return canonical(envelope.to_dict())


class Plain(BaseModel):
    """Base of everything that is read from signed JSON: exactly these fields, exactly these types.

    Not `Record`: its constructor takes Python's types, and JSON has no tuple and no time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Signature(Plain):
    keyid: Sha256
    sig: str


class _Envelope(Plain):
    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815  as DSSE calls it
    signatures: tuple[_Signature]


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value. Raises ValueError where JSON has none (NaN)."""
    return canonical_json(value).encode() + b"\n"


def encode(content: BaseModel) -> bytes:
    """The one byte form of a model: what is signed, and what `parse` takes."""
    return canonical(content.model_dump(mode="json"))


def parse(model: type[SomeModel], data: bytes, origin: str) -> SomeModel:
    """Read canonical JSON as a model; `origin` names it in errors.

    Raises EvidenceError for another form, unknown or missing fields, and for bytes that differ
    from those which `encode` makes of what was read.
    """
    try:
        value = model.model_validate_json(data)
        same = encode(value) == data
    except (ValidationError, ValueError, RecursionError) as error:
        raise _not_canonical(origin, _first(error)) from None
    if not same:
        raise _not_canonical(origin, "its bytes are not the canonical form of its content")
    return value


def unsealed(data: bytes, keys: Sequence[PublicKey], origin: str) -> tuple[bytes, PublicKey]:
    """The payload of a signed envelope, and which of `keys` signed it.

    Raises EvidenceError where the envelope is not canonical or none of the keys signed it.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    parse(_Envelope, data, origin)
    try:
        envelope = Envelope.from_dict(json.loads(data))
        same = canonical(envelope.to_dict()) == data  # base64 has many spellings; one is canonical
    except ValueError as error:
        raise _not_canonical(origin, _first(error)) from None
    if not same:
        raise _not_canonical(origin, "its base64 is not canonical")
    try:
        accepted = envelope.verify([key.verifier for key in keys], threshold=1)
    except (VerificationError, ValueError):
        (claimed,) = envelope.signatures
        known = claimed in {key.key_id for key in keys}
        what = (
            "its bytes were altered" if known else f"its key {claimed[:16]}… is not the given one"
        )
        raise EvidenceError(
            f"{origin} has no valid signature: {what}.",
            remedy="do not rely on it; ask the issuer for the certificate and the public key.",
        ) from None
    (key_id,) = accepted
    return envelope.payload, next(key for key in keys if key.key_id == key_id)


def _not_canonical(origin: str, why: str) -> EvidenceError:
    return EvidenceError(
        f"{origin} is damaged or altered: {why}.",
        remedy="do not rely on it; ask the issuer for the file as it was signed.",
    )


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return type(error).__name__
