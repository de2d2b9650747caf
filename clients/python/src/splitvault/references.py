"""References and paths: `sv://<environment>/<path>[#field][@version or stage]`.

The grammar is that of docs/references.md; `tests/references/` has its vectors. An error never repeats the text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NamedTuple

from .errors import ConfigurationError

SCHEME = "sv://"
STAGES = ("current", "previous", "pending")
MAX_PATH_BYTES = 512
MAX_VERSION = 2**53 - 1

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODES = {"%25": "%", "%23": "#", "%40": "@", "%3A": ":", "%2A": "*"}


class Target(NamedTuple):
    """A version of a secret, as it is asked for."""

    environment: str
    #: The path in its canonical form, with slashes.
    path: str
    #: The number; without one the stage counts.
    version: int | None = None
    stage: str = "current"


class Reference(NamedTuple):
    """A reference to a secret, or to a field of it."""

    environment: str
    path: str
    field: str | None = None
    version: int | None = None
    stage: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads a reference. Raises `ConfigurationError` if it is out of form."""
        if not text.startswith(SCHEME):
            raise ConfigurationError("a reference begins with sv://")
        environment, slash, rest = text[len(SCHEME) :].partition("/")
        if not slash:
            raise ConfigurationError("a reference has an environment and a path, sv://environment/path")
        rest, at, wanted = rest.partition("@")
        number, stage = _version(wanted) if at else (None, None)
        encoded, hash_sign, field = rest.partition("#")
        if hash_sign and not _FIELD.fullmatch(field):
            raise ConfigurationError("a field has 1 to 64 of a-z, A-Z, 0-9, _ and -")
        path = check_path(_decoded(encoded))
        return cls(check_environment(environment), path, field if hash_sign else None, number, stage)

    def target(self) -> Target:
        """Names the version that is read for it."""
        return Target(self.environment, canonical(self.path), self.version, self.stage or "current")

    def __str__(self) -> str:
        """Writes the reference; each has one spelling."""
        text = f"{SCHEME}{self.environment}/{encoded_path(self.path)}"
        if self.field is not None:
            text += f"#{self.field}"
        version = self.version if self.version is not None else self.stage
        return text if version is None else f"{text}@{version}"


def check_environment(name: str) -> str:
    """Refuses what cannot be the name of an environment."""
    if not _ENVIRONMENT.fullmatch(name):
        raise ConfigurationError("an environment has 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit")
    return name


def check_path(path: str) -> str:
    """Refuses what cannot be the path of a secret."""
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        length = 0
    if not 1 <= length <= MAX_PATH_BYTES:
        raise ConfigurationError(f"a path has 1 to {MAX_PATH_BYTES} bytes")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise ConfigurationError("a path has no empty segment, and none of one or two dots alone")
    if "\\" in path or any(unicodedata.category(letter) == "Cc" for letter in path):
        raise ConfigurationError("a path has no backslash and no control character")
    if not unicodedata.is_normalized("NFC", path):
        raise ConfigurationError("a path is in normalization form C")
    return path


def canonical(path: str) -> str:
    """Writes a dotted path with slashes. Dots beside a slash, and dots that leave an empty name, are part of a name."""
    if "/" in path or "" in path.split("."):
        return path
    return path.replace(".", "/")


def encoded_path(path: str) -> str:
    """Writes a path as it stands in references and patterns."""
    for code, letter in _CODES.items():
        path = path.replace(letter, code)
    return path


def field_of(value: str, name: str) -> str:
    """Reads a member of a JSON object that is a text, a number, `true` or `false`."""
    text = None
    try:
        # Numbers keep their spelling.
        members = json.loads(value, object_pairs_hook=_once, parse_float=_Spelling, parse_int=_Spelling)
    except (ValueError, RecursionError):
        members = None
    if isinstance(members, dict):
        member = members.get(name)
        if isinstance(member, bool):
            text = "true" if member else "false"
        elif isinstance(member, str):
            text = str(member)
    if text is None:
        # Raised here: the exception of the parser holds the value.
        raise ConfigurationError("the value has no such field, or it is no JSON object")
    return text


class _Spelling(str):
    __slots__ = ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _version(text: str) -> tuple[int | None, str | None]:
    if text in STAGES:
        return None, text
    if re.fullmatch(r"[1-9][0-9]{0,15}", text) and int(text) <= MAX_VERSION:
        return int(text), None
    raise ConfigurationError("a version is a number from 1 on, or current, previous or pending")


def _decoded(text: str) -> str:
    if ":" in text or "*" in text:
        raise ConfigurationError("in a reference, : and * of a path are written %3A and %2A")
    path, rest = "", text
    while "%" in rest:
        before, _, rest = rest.partition("%")
        letter = _CODES.get("%" + rest[:2])
        if letter is None:
            raise ConfigurationError("in a reference, % begins %25, %23, %40, %3A or %2A")
        path, rest = path + before + letter, rest[2:]
    return path + rest
