"""The names of `splitvault`, for programs that import them from here."""

from __future__ import annotations

from splitvault import *  # noqa: F403
from splitvault import __all__ as __all__
