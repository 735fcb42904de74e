"""Whose a place is that a store names: this workspace's own, or nobody may touch it from here."""

from flows.errors import UsageError

MARK = "sift-workspace"
"""A file at the top of a DVC remote: the id of the workspace whose remote it is."""


class ForeignPlaceError(UsageError):
    """What a store names lies outside of this workspace, and may be another's."""


class ForeignSettingError(UsageError):
    """A setting of DVC or git that we did not write: it could lead away or start a program."""


def require_mark(mark: str | None, identity: str, remote: str) -> None:
    """Raise ForeignPlaceError where a remote's mark is another workspace's; None: no mark."""
    if mark is not None and mark != identity:
        raise ForeignPlaceError(
            f"The DVC remote {remote} is another workspace's: an opt-out here would destroy there.",
            remedy="name an empty one (stores.remote in params.yaml, or `dvc remote modify storage "
            "url`); if that workspace is lost and this one takes its place, write "
            f"{identity} into the file {MARK} there.",
        )


def elsewhere(location: str, root: str) -> ForeignPlaceError:
    """MLflow says that something of the workspace at `root` lies where it did not put it."""
    return ForeignPlaceError(
        f"MLflow says that {location} is a place of this workspace, which is {root}.",
        remedy="if the folder was moved or copied from there, run `sift workspace moved` or "
        "`sift workspace copied` with --from and that workspace's folder.",
    )
