"""Dependencies that phone home or chatter are told not to, before they are imported.

Telemetry is off by default; a variable that the user has set wins.
"""

import os
import pwd
import warnings
from pathlib import Path

_NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_QUIET = {
    # Runs and their logs go to Prefect's store; the terminal belongs to the person at it.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # What our own log says within a flow, the run page says too (flows/logging.py).
    "PREFECT_LOGGING_EXTRA_LOGGERS": "sift",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


def no_telemetry() -> None:
    """Let nothing phone home, or write down who would: done before any other import of ours."""
    for name, value in _NO_TELEMETRY.items():
        os.environ.setdefault(name, value)


def hush() -> None:
    """Let a command's terminal be its own; call before importing Prefect, DVC or transformers."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def house_nameless(workspace: Path) -> None:
    """Give a user id without a name (a container's) a home inside the workspace, and a name.

    Libraries ask for both, to keep caches and to say who ran something, and fail without. Who has a
    name keeps their own; so does who has a home to write to.
    """
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        pass
    else:
        return
    if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        os.environ["LOGNAME"] = f"uid {os.getuid()}"
    there = os.environ.get("HOME")
    if not there or not os.access(there, os.W_OK | os.X_OK):
        home = workspace.resolve() / ".sift" / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["HOME"] = str(home)
