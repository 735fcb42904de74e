"""Objects in a bucket that keeps versions: deleting one only hides it, so every version is deleted.

A bucket of S3 may keep what was deleted or overwritten. Its listing of versions also lists what is
there in a bucket that keeps none, so one way serves both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows.integrations.dvc.errors import DvcError


@dataclass(frozen=True)
class Version:
    """One version of an object: its path (`bucket/key`), id, size in bytes, and what it is."""

    path: str
    id: str
    bytes: int
    is_marker: bool
    """Whether it only says that the object was deleted."""


def is_bucket(fs: Any) -> bool:
    """Whether a file system of DVC's is S3's."""
    return "s3" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def versions(fs: Any, prefix: str) -> Iterator[Version]:
    """Give every version of every object whose path begins with `prefix`.

    Raises DvcError where the listing is refused: then nobody could say that anything is gone.
    """
    bucket, _, key = prefix.partition("/")
    marker: dict[str, str] = {}
    while True:
        try:
            page = fs.fs.call_s3("list_object_versions", Bucket=bucket, Prefix=key, **marker)
        except PermissionError as error:
            raise DvcError(
                f"The versions of objects in the bucket {bucket} may not be listed, so nobody can"
                f" say what is gone there: {error}",
                remedy="allow s3:ListBucketVersions and s3:DeleteObjectVersion on it, then run"
                " this again.",
            ) from error
        for kind in ("Versions", "DeleteMarkers"):
            for row in page.get(kind, ()):
                path = f"{bucket}/{row['Key']}"
                yield Version(
                    path, row["VersionId"], row.get("Size", 0), is_marker=kind == "DeleteMarkers"
                )
        if not page.get("IsTruncated"):
            return
        marker = {
            "KeyMarker": page["NextKeyMarker"],
            "VersionIdMarker": page["NextVersionIdMarker"],
        }


def delete_versions(fs: Any, path: str) -> None:
    """Delete every version of one object. Raises DvcError where that is refused."""
    bucket, _, key = path.partition("/")
    for version in list(versions(fs, path)):
        if version.path != path:
            continue
        try:
            fs.fs.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=version.id)
        except PermissionError as error:
            raise DvcError(
                f"A version of {path} may not be deleted: {error}",
                remedy="allow s3:DeleteObjectVersion, and end a retention (object lock) that keeps"
                " it, then run this again.",
            ) from error
    fs.fs.invalidate_cache(path)


def abort_uploads(fs: Any, folder: str) -> None:
    """Discard the parts of unfinished uploads, which no listing of objects shows."""
    bucket, _, key = folder.partition("/")
    while True:
        page = fs.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        uploads = page.get("Uploads", ())
        for upload in uploads:
            fs.fs.call_s3(
                "abort_multipart_upload",
                Bucket=bucket,
                Key=upload["Key"],
                UploadId=upload["UploadId"],
            )
        if not uploads or not page.get("IsTruncated"):
            return
