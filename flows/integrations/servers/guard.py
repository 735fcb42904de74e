"""What stands before a server of ours: it answers at its own address, to its own pages, with a key.

A page that the operator has open elsewhere can send requests to this machine, and by a name that it
makes point here (DNS rebinding) even as if it came from here. A browser says of each request which
host it means and which page sent it; what is not ours is refused before the server sees it.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

Refusal = tuple[int, str]
"""An HTTP status, and one line for whoever asked."""
Rule = Callable[[str, str], str | None]
"""Of a method and a path: why it is refused, None where it is not."""

HEALTH = "/health"
"""Says that a server is up and nothing else, and asks for no key."""
_SCHEMES = ("http", "https")
_REALM = "sift"
_ELSEWHERE = ("cross-site", "same-site")
"""Of `Sec-Fetch-Site`; another port of this machine is `same-site`."""


class Guard:
    """An ASGI application behind the checks; of a websocket it checks the handshake."""

    def __init__(
        self,
        app: ASGIApp,
        addresses: Collection[str],
        *,
        key: str | None = None,
        rule: Rule | None = None,
    ) -> None:
        """Guard `app`, which answers at these `host:port` alone.

        `key` is asked for as the password of HTTP Basic, whatever the name; None: the application
        asks itself. `rule` refuses requests by method and path.
        """
        self._app = app
        self._hosts = frozenset(addresses)
        self._origins = frozenset(f"{scheme}://{one}" for one in addresses for scheme in _SCHEMES)
        self._key = key
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # closed before it is accepted: HTTP 403
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            status, why = refusal
            challenge = {"WWW-Authenticate": f'Basic realm="{_REALM}"'} if status == 401 else None
            await PlainTextResponse(f"{why}\n", status, challenge)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        method, path = scope.get("method", "CONNECT"), scope["path"]  # of a websocket none
        if len(hosts := headers.getlist("host")) != 1 or hosts[0] not in self._hosts:
            return 421, f"This server answers at {' and '.join(sorted(self._hosts))} only."
        if not set(headers.getlist("origin")) <= self._origins:
            return 403, "Pages of other servers are not answered."
        if _comes_from_elsewhere(method, headers):
            return 403, "Pages of other servers may link here, and nothing more."
        is_health = method == "GET" and path == HEALTH
        if self._key and not is_health and not _knows(self._key, headers.getlist("authorization")):
            return 401, "Any name, and the key of this server as password."
        why = self._rule(method, path) if self._rule else None
        return None if why is None else (403, why)


def _comes_from_elsewhere(method: str, headers: Headers) -> bool:
    """Whether a browser says that another site's page asks, for more than to open a link."""
    if headers.get("sec-fetch-site") not in _ELSEWHERE:
        return False
    opened = headers.get("sec-fetch-mode") == "navigate"
    whole = headers.get("sec-fetch-dest") == "document"
    return not (method in ("GET", "HEAD") and opened and whole)


def _knows(key: str, given: list[str]) -> bool:
    """Whether the one Authorization header holds the key, as HTTP Basic."""
    if len(given) != 1:
        return False
    scheme, _, credentials = given[0].partition(" ")
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    _, _, password = decoded.partition(b":")
    return scheme.lower() == "basic" and hmac.compare_digest(password, key.encode())
