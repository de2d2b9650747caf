"""Settings: arguments, then environment variables, then defaults. The one place that reads the environment."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
from urllib.parse import urlsplit

from ._hidden import Hidden
from .errors import ConfigurationError
from .references import check_environment

DEFAULT_TIMEOUT_MS = 10_000
MAX_TIMEOUT_MS = 600_000


class Settings:
    """What a client works with."""

    __slots__ = ("credential", "environment", "manager", "plain_http", "service_name", "timeout", "tls")

    def __init__(
        self,
        service_name: str,
        credential: Hidden[str] | None,
        url: str | None,
        timeout_ms: int | None,
        environment: str | None,
        ca_file: str | os.PathLike[str] | None,
        danger_plain_http: bool,
    ) -> None:
        """Reads what was not given from the environment, and refuses what cannot be used."""
        if not service_name:
            raise ConfigurationError("service_name is empty")
        self.service_name = service_name
        self.credential = check_credential(credential or _credential_of_environment())
        self.plain_http = danger_plain_http
        given = url or os.environ.get("KEY_SERVICE_URL")
        if not given:
            raise ConfigurationError("name the manager's address: url, or KEY_SERVICE_URL")
        self.manager = check_address(given, danger_plain_http, "KEY_SERVICE_URL")
        self.timeout = _timeout(timeout_ms)
        named = environment or os.environ.get("KEY_ENVIRONMENT")
        self.environment = check_environment(named) if named else None
        self.tls = trust(ca_file or os.environ.get("KEY_SERVICE_CA_FILE"))


def check_credential(credential: Hidden[str]) -> Hidden[str]:
    """Refuses a text that no header can hold."""
    if not can_be_sent(credential.expose()):
        raise ConfigurationError("the credential is empty, or has a character that no credential has")
    return credential


def can_be_sent(text: str) -> bool:
    """Says that a header can hold a credential or token."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def check_address(url: str, plain_http: bool, name: str) -> str:
    """Returns the origin of an address. Off this machine it must be https."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    # What the address holds is not repeated: somebody may have put a password there.
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not host or not bare:
        raise ConfigurationError(f"{name} has the form https://host:port")
    if parts.scheme == "http" and not plain_http and not _is_loopback(host):
        raise ConfigurationError(f"{name} is http on another machine; take https, or danger_plain_http=True")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def trust(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Makes the TLS settings: only the CAs of a file, or else those of the system. TLS 1.3 alone."""
    # Not `create_default_context`, which writes the keys of connections to the file that SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if ca_file is None:
        context.load_default_certs()
        return context
    with contextlib.suppress(OSError):  # `ssl.SSLError` is one, too
        context.load_verify_locations(cafile=os.fspath(ca_file))
        return context
    raise ConfigurationError(f"{os.fspath(ca_file)} cannot be read as certificates of a CA")


def _credential_of_environment() -> Hidden[str]:
    file = os.environ.get("SERVICE_TOKEN_FILE")
    if file:
        with contextlib.suppress(OSError, ValueError), open(file, encoding="ascii") as opened:
            return Hidden(opened.read(4096).strip())
        # Raised here: the other exception may hold what was read.
        raise ConfigurationError(f"{file}, which SERVICE_TOKEN_FILE names, cannot be read")
    text = os.environ.get("SERVICE_TOKEN")
    if not text:
        raise ConfigurationError("give the credential: service_token, SERVICE_TOKEN or SERVICE_TOKEN_FILE")
    return Hidden(text)


def _timeout(given: int | None) -> float:
    text = os.environ.get("KEY_SERVICE_TIMEOUT")
    if given is None and text:
        if not text.isascii() or not text.isdigit():
            raise ConfigurationError("KEY_SERVICE_TIMEOUT is a number of milliseconds")
        given = int(text)
    timeout = DEFAULT_TIMEOUT_MS if given is None else given
    if not 1 <= timeout <= MAX_TIMEOUT_MS:
        raise ConfigurationError(f"a timeout is 1 to {MAX_TIMEOUT_MS} milliseconds")
    return timeout / 1000


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
