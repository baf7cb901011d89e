"""The connection settings of an OpenAI-compatible server: URL, key, headers, proxy.

The environment is read as by the official client. The key is only used in the headers.
"""

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from seqit import __version__
from seqit.errors import UsageError

OPENAI_URL = "https://api.openai.com/v1"

_SECRET = re.compile("key|token|secret|sig|pass", re.IGNORECASE)
"""Names of query parameters whose values are redacted."""


@dataclass(frozen=True)
class Server:
    """One server; `base_url` can be shown: it has neither password nor query."""

    base_url: str
    is_openai: bool
    headers: dict[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    _address: SplitResult = field(repr=False)
    _secrets: tuple[bytes, ...] = field(repr=False)

    def url(self, path: str) -> str:
        """Return the URL of an endpoint, such as ``chat/completions``."""
        address = self._address
        return urlunsplit(address._replace(path=f"{address.path.rstrip('/')}/{path}"))

    def redact(self, text: bytes) -> bytes:
        """Return a server's response without the secrets that it may have echoed."""
        for secret in self._secrets:
            text = text.replace(secret, b"[secret]")
        return text

    def check_key(self) -> None:
        """Raise UsageError if the server is OpenAI's and there is no key."""
        if self.is_openai and "Authorization" not in self.headers:
            raise UsageError(
                "OPENAI_API_KEY is not set: set it to your key, or OPENAI_BASE_URL to the URL of "
                "another server, such as http://localhost:8000/v1"
            )


def find_server(base_url: str | None = None, api_key: str | None = None) -> Server:
    """Return the server given by the arguments, or else by the environment.

    Reads OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_ORG_ID, OPENAI_PROJECT_ID and the usual proxy
    variables. Raises UsageError for a URL, key or proxy that cannot be used.
    """
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    address = _parse_url(url)
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
            headers[header] = _header_value(value, variable)
    return Server(
        base_url=urlunsplit((address.scheme, host, address.path.rstrip("/"), "", "")),
        is_openai=f".{address.hostname}".endswith(".api.openai.com"),
        headers=headers,
        proxy=_proxy(address.scheme, host),
        _address=address._replace(netloc=host, fragment=""),
        _secrets=_secrets(key, authorization.partition(" ")[2], address),
    )


def _parse_url(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        usable = address.scheme in ("http", "https") and address.hostname
        _ = address.port  # raises ValueError if it is not a number
    except ValueError:
        usable = None
    if not usable:
        display = url.rpartition("@")[2].partition("?")[0]
        raise UsageError(
            f"the base URL {display!r} is not the URL of a server; a valid one is "
            "http://localhost:8000/v1"
        )
    return address


def _without_user(address: SplitResult) -> str:
    return address.netloc.rpartition("@")[2]


def _authorization(address: SplitResult, key: str) -> str:
    """Return the Authorization header; a user in the URL precedes the key, as in OpenAI's client.

    Empty if there is neither.
    """
    if address.username is not None:
        pair = f"{unquote(address.username)}:{unquote(address.password or '')}"
        return f"Basic {b64encode(pair.encode()).decode()}"
    return f"Bearer {_header_value(key, 'OPENAI_API_KEY')}" if key else ""


def _header_value(value: str, variable: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise UsageError(
            f"{variable} has a character that is not allowed in a header: set it again"
        )
    return value


def _secrets(key: str, credentials: str, address: SplitResult) -> tuple[bytes, ...]:
    """Return the strings to redact; a placeholder of less than 4 characters is not a secret."""
    password = address.password or ""
    query = [part.partition("=") for part in address.query.split("&")]
    found = {key, credentials, password, unquote(password)}
    found |= {value for name, _, value in query if _SECRET.search(name)}
    found |= {each.replace("/", "\\/") for each in found}  # as some servers write JSON
    return tuple(each.encode() for each in sorted(found, key=len, reverse=True) if len(each) >= 4)


def _proxy(scheme: str, host: str) -> str | None:
    """Return the proxy according to HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

    aiohttp's `trust_env` is not used: it looks the proxy up for every request, in a thread, and
    reads .netrc for a second authorization.
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
            f"the proxy for {host} uses {proxy.partition('://')[0]}, which is not supported: "
            f"set {scheme.upper()}_PROXY to an HTTP proxy, or add the host to NO_PROXY"
        )
    return proxy
