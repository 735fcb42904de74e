"""Bytes, as all three packages treat them: digests, one JSON text, files written whole or not.

Knows nothing but the standard library, so `lineage` and the command line have it without torch, and
`sift_core` without lineage. A package of its own, since it belongs to none of them.
"""

from sift_bytes.digests import file_sha256, md5, md5_of, sha256_of
from sift_bytes.files import Draft, draft, write_atomically
from sift_bytes.json_text import canonical_json

__all__ = [
    "Draft",
    "canonical_json",
    "draft",
    "file_sha256",
    "md5",
    "md5_of",
    "sha256_of",
    "write_atomically",
]
