"""The border to DVC: whatever comes out of it is in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configobj import ConfigObjError  # type: ignore[import-untyped]
from dvc.exceptions import DvcException
from dvc.lock import LockError

from flows.integrations.dvc.errors import DvcBusyError, DvcError, client_errors


@contextmanager
def translated(root: Path, doing: str) -> Iterator[None]:
    """Speak of failures of DVC, of the system, and of the clients of remote stores as DvcError."""
    try:
        yield
    except LockError as error:
        raise DvcBusyError(
            f"Another DVC command is at work in {root}.",
            remedy="let it finish, then run this again.",
        ) from error
    except (DvcException, ConfigObjError, UnicodeError, OSError) as error:
        raise DvcError(
            f"DVC could not {doing} in {root}: {' '.join(str(error).split())}",
            remedy="mend what the message names (a damaged dvc.lock or .dvc file comes back with "
            "`git checkout HEAD -- FILE`; a remote needs its credentials and to be reached), then "
            "run this again.",
        ) from error
    except client_errors() as error:
        raise DvcError(
            f"DVC could not {doing} in {root}: the remote store answered"
            f" {type(error).__name__}: {' '.join(str(error).split())}",
            remedy="check stores.remote and stores.remote_endpoint in params.yaml, the credentials "
            "and the network, then run this again.",
        ) from error
