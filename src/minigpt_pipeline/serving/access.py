"""Who is answered: a server that others reach wants a key, and one for this machine alone answers to its own names.

Why so, and which addresses stay open: docs/adr/0034-whoever-is-let-in-has-a-key.md.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minigpt_pipeline.addresses import is_loopback
from minigpt_pipeline.serving.requests import RequestError
from minigpt_pipeline.serving.settings import SOURCE, ServingError, ServingSettings
from minigpt_pipeline.serving.watch import Watch

VARIABLE = "MINIGPT_SERVING_KEY"
MIN_LENGTH = 20
"""Characters of a key, which nobody then guesses."""
MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"

OPEN = {"/", "/health", "/ready"}
"""Answered without a key: the page, which asks for one, and what tells a watchdog whether the server lives."""
OWN_NAMES = {"localhost", "127.0.0.1", "::1"}

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of each answer that says nothing else."""


class Keys:
    """The keys that let somebody in; only their digests are kept.

    Args:
        keys: Any of them lets in; none lets everybody in.
    """

    def __init__(self, *keys: str) -> None:
        self._digests = [_digest(key) for key in keys]

    @property
    def are_wanted(self) -> bool:
        """Whether anybody needs one."""
        return bool(self._digests)

    def let_in(self, authorization: str) -> bool:
        """Whether a header `Authorization` has a key; all are compared, each in a time that tells nothing."""
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip())
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return not self._digests or (scheme.lower() == "bearer" and any(found))


def read_keys(variables: Mapping[str, str], settings: ServingSettings) -> Keys:
    """Read the keys from the environment, where no command line, parameter or log shows them.

    Args:
        variables: Of the environment; the key's has one key, or several with commas between them.
        settings: Where the server listens.

    Raises:
        ServingError: If others than this machine could reach a server that asks for no key, or a key is too short.
    """
    keys = [key.strip() for key in variables.get(VARIABLE, "").split(",") if key.strip()]
    for number, key in enumerate(keys, 1):
        if len(key) < MIN_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
            raise ServingError(
                f"{VARIABLE}: key {number} of {len(keys)} has {len(key)} characters, and a key has {MIN_LENGTH} at the "
                f"least, of ASCII and without blanks: make one with `{MAKE_ONE}`"
            )
    if not (keys or settings.behind_proxy or is_loopback(settings.host)):
        raise ServingError(
            f"host={settings.host} lets others than this machine ask, and no key is set: set {VARIABLE} to one "
            f"(`{MAKE_ONE}`), or let host be 127.0.0.1, or say behind_proxy: true in {SOURCE} where something in front "
            "asks who they are"
        )
    return Keys(*keys)


class Access:
    """Refuses who has no key, and pages of others that a browser on this machine is made to show.

    Args:
        app: Answers everybody else.
        settings: Where the server listens, and by which names.
        keys: Let in.
        watch: Is told of who is refused.
    """

    def __init__(self, app: ASGIApp, settings: ServingSettings, keys: Keys, watch: Watch) -> None:
        self._app, self._keys, self._watch = app, keys, watch
        self._names = (
            OWN_NAMES | {settings.host, *settings.allowed_hosts} if is_loopback(settings.host) else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        error = self._find_fault(Request(scope))
        if error is None:
            await self._app(scope, receive, send_with_headers)
            return
        self._watch.refused(error.status, error.code)
        challenge = {"WWW-Authenticate": 'Bearer realm="minigpt"'} if error.status == 401 else {}  # noqa: PLR2004
        await JSONResponse(error.content, error.status, challenge)(scope, receive, send_with_headers)

    def _find_fault(self, request: Request) -> RequestError | None:
        headers = request.headers
        if self._names is not None and (fault := _find_foreign_name(headers, self._names)):
            return fault
        path = request.scope["path"]  # `request.url` raises where the query is no UTF-8
        is_open = path in OPEN and request.method in {"GET", "HEAD"}
        if is_open or self._keys.let_in(headers.get("Authorization", "")):
            return None
        return RequestError(
            401,
            "unauthorized",
            f"{path} wants a key: send the header `Authorization: Bearer KEY`, with a key that the server has",
        )


def _find_foreign_name(headers: Headers, names: set[str]) -> RequestError | None:
    """Say whether a browser was sent here by another page: by a name that somebody else owns, or across sites."""
    host = headers.get("Host", "")
    if _name(host) not in names:
        return RequestError(
            421,
            "unknown_host",
            f"This server has not the name {host[:100]!r}: ask it as localhost or 127.0.0.1, or add the name to "
            f"allowed_hosts in {SOURCE}",
        )
    origin = headers.get("Origin")
    if origin is not None and _netloc(origin) != host:
        return RequestError(403, "cross_site", f"A page of {origin[:100]!r} may not ask this server")
    return None


def _netloc(origin: str) -> str | None:
    """Return host and port of an origin; null where it has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    """Return the name in a header `Host`, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
