"""The one JSON text of a value, so that it has one digest."""

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Keys sorted, no spaces, no escapes but those that JSON demands.

    Raises ValueError where JSON has none (NaN).
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
