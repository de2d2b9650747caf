"""Health of both services, as steps."""

from __future__ import annotations

from ._calls import MANAGER, VAULT
from ._core import Core
from ._steps import Answer, Send, Steps
from .errors import SplitvaultError
from .values import Health


def health(core: Core) -> Steps[Health]:
    """Asks both services whether they are ready, and the manager whether the credential counts. Raises nothing."""
    deadline = core.deadline()
    manager = yield from _ready(MANAGER, deadline)
    fault = None
    if manager != "unreachable":
        try:
            yield from core.me(deadline)
        except SplitvaultError as error:
            fault = str(error)
    vault = "unknown"
    if VAULT in core.transport.addresses:
        vault = yield from _ready(VAULT, deadline)
    for service, word in ((VAULT, vault), (MANAGER, manager)):
        if word not in ("ready", "unknown"):
            fault = f"the {service} is {word}"
    return Health(manager, vault, fault)


def _ready(service: str, deadline: float) -> Steps[str]:
    outcome = yield Send(service, "GET", "/health/ready", deadline=deadline, safe=True)
    if not isinstance(outcome, Answer):
        return "unreachable"
    return "ready" if outcome.status == 200 else "not-ready"
