"""What a client stores and registers, as steps. Each has an Idempotency-Key, so that it can be sent again."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any, Union

from ._calls import MANAGER, call, out_of_form, write
from ._core import Core, target_of
from ._hidden import Hidden
from ._steps import Steps
from .errors import ConfigurationError, ConflictError
from .references import canonical, encoded_path
from .values import Service, Stored

RequiredKey = Union[str, "dict[str, str]"]


def store(core: Core, path: str, value: Hidden[str] | Hidden[bytes], environment: str | None) -> Steps[Stored]:
    """Stores a value: a new secret, or the next version of the one that is there."""
    deadline = core.deadline()
    target = target_of(path, (yield from core.environment(environment, deadline)))
    body: dict[str, Any] = {
        "user_id": core.settings.service_name,
        "environment": target.environment,
        "path": path,
        "token": False,
    }
    body.update(_encoded(value))
    key = _new_key()
    request = core.at_manager("POST", "/api/keys", deadline, body=write(body), idempotency_key=key)
    version: tuple[str, int] | None = None
    try:
        version = _version((yield from core.guarded(call(core.clock, request))).read())
    except ConflictError as error:
        # The key is ours: the first of several requests has stored it.
        version = _version(error.facts) if error.code == "idempotency_unknown" else None
        if version is None:
            raise
    yield from core.forget(target.environment, target.path)
    return Stored(version[0], version[1], target.environment, path)


def register(
    core: Core, name: str, description: str | None, required_keys: Sequence[RequiredKey], environment: str | None
) -> Steps[Service]:
    """Registers a service. That gives it nothing: an administrator approves what it asks for."""
    deadline = core.deadline()
    body: dict[str, Any] = {"name": name}
    if description is not None:
        body["description"] = description
    lines = []
    for required in required_keys:
        if isinstance(required, dict):
            lines.append({"environment": required["environment"], "pattern": required["pattern"]})
        else:
            home = yield from core.environment(environment, deadline)
            lines.append({"environment": home, "pattern": _pattern(required)})
    if lines:
        body["required_keys"] = lines
    request = core.at_manager("POST", "/api/services", deadline, body=write(body), idempotency_key=_new_key())
    document = yield from core.guarded(call(core.clock, request))
    members = document.read()
    service_id, registered = members.get("service_id"), members.get("name")
    if not isinstance(service_id, str) or not isinstance(registered, str):
        raise out_of_form(MANAGER, document.status)
    return Service(service_id, registered, members.get("approved_at") is not None)


def _pattern(text: str) -> str:
    """A path in slashes or dots, or a pattern with `*`, which stays as it is."""
    return text if "*" in text else encoded_path(canonical(text))


def _encoded(value: Hidden[str] | Hidden[bytes]) -> dict[str, Any]:
    inside = value.expose()
    if isinstance(inside, bytes):
        return {"key_data": Hidden(base64.b64encode(inside).decode()), "encoding": "base64"}
    if not isinstance(inside, str):
        inside = ""
        raise ConfigurationError("a value is a text or bytes")
    return {"key_data": value, "encoding": "text"}


def _version(members: dict[str, Any]) -> tuple[str, int]:
    key_id, version = members.get("key_id"), members.get("version")
    if not isinstance(key_id, str) or not isinstance(version, int):
        raise out_of_form(MANAGER)
    return key_id, version


def _new_key() -> str:
    return os.urandom(16).hex()
