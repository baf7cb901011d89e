"""Where an OpenAI-compatible server is and how it knows us: URL, key, headers, proxy.

The environment is read as the official client reads it. The key stays in here and in the headers.
"""

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from seqit import __version__
from seqit.errors import UsageError

OPENAI = "https://api.openai.com/v1"

_SECRET = re.compile("key|token|secret|sig|pass", re.IGNORECASE)
"""Names of query parameters whose values are not shown."""


@dataclass(frozen=True)
class Server:
    """One server; `base_url` is as it may be shown: without password and query."""

    base_url: str
    is_openai: bool
    headers: dict[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    _address: SplitResult = field(repr=False)
    _secrets: tuple[bytes, ...] = field(repr=False)

    def url(self, path: str) -> str:
        """Return the address of an endpoint, as in ``chat/completions``."""
        address = self._address
        return urlunsplit(address._replace(path=f"{address.path.rstrip('/')}/{path}"))

    def redact(self, text: bytes) -> bytes:
        """Return what a server said without the secrets that it may have echoed."""
        for secret in self._secrets:
            text = text.replace(secret, b"[secret]")
        return text

    def check_key(self) -> None:
        """Raise UsageError where the server is OpenAI's and there is no key."""
        if self.is_openai and "Authorization" not in self.headers:
            raise UsageError(
                "OPENAI_API_KEY is not set: set it to your key, or OPENAI_BASE_URL to the address "
                "of another server, as in http://localhost:8000/v1"
            )


def find_server(base_url: str | None = None, api_key: str | None = None) -> Server:
    """Return the server that the arguments or else the environment name.

    Reads OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_ORG_ID, OPENAI_PROJECT_ID and the usual proxy
    variables. Raises UsageError for a URL, key or proxy that cannot be used.
    """
    given = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    address = _split(given)
    host = _without_user(address)
    key = (os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key).strip()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"seqit/{__version__}",
    }
    authorization = _authorization(address, key)
    if authorization:
        headers["Authorization"] = authorization
    for header, variable in (
        ("OpenAI-Organization", "OPENAI_ORG_ID"),
        ("OpenAI-Project", "OPENAI_PROJECT_ID"),
    ):
        if value := os.environ.get(variable, "").strip():
            headers[header] = _plain(value, variable)
    return Server(
        base_url=urlunsplit((address.scheme, host, address.path.rstrip("/"), "", "")),
        is_openai=f".{address.hostname}".endswith(".api.openai.com"),
        headers=headers,
        proxy=_proxy(address.scheme, host),
        _address=address._replace(netloc=host, fragment=""),
        _secrets=_secrets(key, authorization.partition(" ")[2], address),
    )


def _split(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        usable = address.scheme in ("http", "https") and address.hostname
        _ = address.port  # raises where it is no number
    except ValueError:
        usable = None
    if not usable:
        shown = url.rpartition("@")[2].partition("?")[0]
        raise UsageError(
            f"the base URL {shown!r} is not the address of a server: write it as in "
            "http://localhost:8000/v1"
        )
    return address


def _without_user(address: SplitResult) -> str:
    return address.netloc.rpartition("@")[2]


def _authorization(address: SplitResult, key: str) -> str:
    """Return the header's value: a user in the URL goes before the key, as in the official client.

    Empty where there is neither.
    """
    if address.username is not None:
        pair = f"{unquote(address.username)}:{unquote(address.password or '')}"
        return f"Basic {b64encode(pair.encode()).decode()}"
    return f"Bearer {_plain(key, 'OPENAI_API_KEY')}" if key else ""


def _plain(value: str, variable: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise UsageError(f"{variable} holds a character that no header can hold: set it again")
    return value


def _secrets(key: str, credentials: str, address: SplitResult) -> tuple[bytes, ...]:
    """Return what must not be shown; a placeholder of a few letters is no secret."""
    password = address.password or ""
    query = [part.partition("=") for part in address.query.split("&")]
    found = {key, credentials, password, unquote(password)}
    found |= {value for name, _, value in query if _SECRET.search(name)}
    found |= {each.replace("/", "\\/") for each in found}  # as some servers write JSON
    return tuple(each.encode() for each in sorted(found, key=len, reverse=True) if len(each) >= 4)


def _proxy(scheme: str, host: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name.

    It is found once: aiohttp's own `trust_env` asks again for every request, in a thread, and
    takes a .netrc for a second authorization.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise UsageError(
            f"the proxy for {host} speaks {proxy.partition('://')[0]}, which is not supported: "
            f"set {scheme.upper()}_PROXY to an HTTP proxy, or name the host in NO_PROXY"
        )
    return proxy
