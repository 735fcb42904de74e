"""How content is named: by SHA-256 here, by MD5 in DVC's stores, under a key where it is a text.

A plain digest of a short text tells the text to whoever tries all texts. So no plain digest of a
contributor's text is ever made: a stored dataset begins with a *salt*, an HMAC of its rows, which
goes into every digest of the file that anybody computes, and a record is named by an HMAC. Both are
made with the workspace's secret, so that the same rows always have the same names, and nobody
without it can try a guess.
"""

import hmac
from dataclasses import dataclass, field

_DIGITS = 32


@dataclass(frozen=True)
class DigestKey:
    """What digests of contributors' texts are made with; see `Workspace.digests`."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> "DigestKey":
        """The key of a workspace's secret: no other use of the secret tells anything about it."""
        # No contributor's id has such a character, so this is nobody's key.
        return cls(hmac.digest(secret, b"\0digests", "sha256"))

    def salt(self, contributor_key: str, rows: bytes) -> str:
        """What stands before these rows of a contributor, 64 hex characters."""
        return self._code("dataset", contributor_key, rows)

    def record(self, contributor_key: str, text: str) -> str:
        """What names a record of a contributor, by its canonical JSON: 64 hex characters."""
        return self._code("record", contributor_key, text.encode())

    def path(self, path: str) -> str:
        """What names an object whose path is somebody's own words: 32 hex characters."""
        told = path.encode("utf-8", "surrogateescape")
        return self._code("path", "", told)[:_DIGITS]

    def _code(self, what: str, contributor_key: str, data: bytes) -> str:
        return hmac.new(
            self._key, f"{what}\n{contributor_key}\n".encode() + data, "sha256"
        ).hexdigest()


def artifact_name(contributor_key: str, sha256: str, ending: str) -> str:
    """The file name of one contributor's dataset, vector or mask with this content.

    Half of the digest tells contents apart; whoever reads the file compares all of it.
    """
    return f"{contributor_key}-{sha256[:_DIGITS]}{ending}"
