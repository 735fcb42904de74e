"""Another process that is changing the same workspace."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def rival(root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds the lock of the workspace at `root` until it is killed or we leave."""
    command = [sys.executable, "-c", _HOLD, str(root / ".sift" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process
        process.kill()
