"""Typed errors, made from the table of codes.

Guarantees: no error holds a value, a credential, a token, a header or another library's exception.
"""

from __future__ import annotations

from typing import Any

from ._table import TABLE


class SplitvaultError(Exception):
    """Base of every error of this package."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retry: str = "no",
        detail: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Takes what the service told about the refusal."""
        super().__init__(message)
        self.message = message
        #: The stable code of docs/errors.md; `None` if no service answered.
        self.code = code
        #: The HTTP status; `None` if no service answered.
        self.status = status
        #: What may be done: `no`, `later`, `same-key` or `new-token`.
        self.retry = retry
        #: What is wrong with this request, for people.
        self.detail = detail
        #: Finds the request in the audit log and the log of the service.
        self.request_id = request_id
        #: Seconds to wait, if the service said so.
        self.retry_after = retry_after
        #: `key_id`, `version` and `id` of the answer, if it has them.
        self.facts: dict[str, Any] = facts or {}

    def again(self) -> SplitvaultError:
        """Makes the same error once more, without a traceback, for another caller who waited for the same answer."""
        other = type(self)(self.message)
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets the error travel between processes."""
        return (_remade, (type(self), self.message, dict(self.__dict__)))


class ConfigurationError(SplitvaultError):
    """An argument, an environment variable or a file of this program cannot be used; nothing was sent."""


class UnauthorizedError(SplitvaultError):
    """The credential does not count, or not any more (401)."""


class ForbiddenError(SplitvaultError):
    """The policy does not allow it, or an approval or login is missing (403)."""


class NotFoundError(SplitvaultError):
    """There is no such thing, or it is not this caller's to see: the services tell neither (404)."""


class ConflictError(SplitvaultError):
    """The state of the thing does not allow it now (409)."""


class InvalidRequestError(SplitvaultError):
    """The request breaks a rule, which `detail` says (other 4xx)."""


class RateLimitError(SplitvaultError):
    """Too many requests (429); `retry_after` says how long to wait."""


class UnavailableError(SplitvaultError):
    """A service cannot be reached or cannot answer now."""


class StaleValueWarning(UserWarning):
    """A value from the cache is used because a service cannot be reached."""


class DiskCacheWarning(UserWarning):
    """The cache on disk cannot be used, and is not."""


def refused(status: int, problem: dict[str, Any], retry_after: float | None) -> SplitvaultError:
    """Makes the error for a problem document of a service."""
    code = problem["code"]
    row = TABLE.get(code)
    kind = _kind_of(status)
    sentence = row.advice if row else "The service refused, with a code that this client does not know."
    detail = _short(problem.get("detail"))
    facts = {name: problem[name] for name in ("key_id", "version", "id") if isinstance(problem.get(name), (str, int))}
    return kind(
        f"{code}: {sentence}" + (f" ({detail})" if detail else ""),
        code=code,
        status=status,
        retry=row.retry if row else "no",
        detail=detail,
        request_id=_short(problem.get("request_id")),
        retry_after=retry_after,
        facts=facts,
    )


def refused_line(code: str) -> SplitvaultError:
    """Makes the error for one line of a batch that the vault refused."""
    row = TABLE.get(code)
    return refused(row.status if row else 500, {"code": code if row else "unknown"}, None)


def _kind_of(status: int) -> type[SplitvaultError]:
    if status >= 500:
        return UnavailableError
    kinds: dict[int, type[SplitvaultError]] = {
        401: UnauthorizedError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        429: RateLimitError,
    }
    return kinds.get(status, InvalidRequestError)


def _short(text: Any) -> str | None:
    return text[:300] if isinstance(text, str) else None


def _remade(kind: type[SplitvaultError], message: str, members: dict[str, Any]) -> SplitvaultError:
    error = kind(message)
    error.__dict__.update(members)
    return error
