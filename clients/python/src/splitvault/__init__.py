"""Client for Splitvault: reads secrets of two services that never share a key.

`KeyClient` is awaited, `SyncKeyClient` blocks, `load_env` stands in for `os.environ`. docs/python.md tells the rest.
"""

from __future__ import annotations

from .client import KeyClient, SyncKeyClient
from .environ import Environ, load_env
from .errors import (
    ConfigurationError,
    ConflictError,
    DiskCacheWarning,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    SplitvaultError,
    StaleValueWarning,
    UnauthorizedError,
    UnavailableError,
)
from .references import Reference
from .values import Health, Key, Service, Stored

__all__ = [
    "ConfigurationError",
    "ConflictError",
    "DiskCacheWarning",
    "Environ",
    "ForbiddenError",
    "Health",
    "InvalidRequestError",
    "Key",
    "KeyClient",
    "NotFoundError",
    "RateLimitError",
    "Reference",
    "Service",
    "SplitvaultError",
    "StaleValueWarning",
    "Stored",
    "SyncKeyClient",
    "UnauthorizedError",
    "UnavailableError",
    "load_env",
]
