"""Secrets that do not show themselves.

Guarantees: neither `repr`, `str`, formatting, copying nor pickling shows what is inside, so that tracebacks with local
variables, logs and crash reports do not either. It is asked for by name: `expose()`.
"""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", str, bytes)


class Hidden(Generic[T]):
    """A text or bytes that only `expose` shows."""

    __slots__ = ("_inside",)

    def __init__(self, inside: T) -> None:
        """Hides something."""
        self._inside: T = inside

    def expose(self) -> T:
        """Shows it. Whoever calls this keeps it out of logs and errors."""
        return self._inside

    def __repr__(self) -> str:
        """Says that it is hidden."""
        return "<hidden>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Says that it is hidden, in any format."""
        return repr(self)

    def __reduce__(self) -> NoReturn:
        """Refuses to be copied or pickled."""
        raise TypeError("a hidden value is neither copied nor pickled")


def bare(error: BaseException) -> BaseException:
    """Takes from an exception the frames that it passed, and the exceptions behind it: their variables show secrets."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
