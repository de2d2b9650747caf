"""Files of `NAME=value`, by the rules of docs/import-secrets.md. An error names a line, and never what stands there."""

from __future__ import annotations

import re

from ._hidden import Hidden
from .errors import ConfigurationError

MAX_FILE = 1 << 20

_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse(text: Hidden[str]) -> dict[str, Hidden[str]]:
    """Reads a document. Nothing is expanded."""
    try:
        values = _Reader(text.expose().replace("\r\n", "\n")).read()
        return {name: Hidden(value) for name, value in values.items()}
    except ConfigurationError as error:
        fault = error.message
    # Raised here, where no local variable shows a part of the file.
    raise ConfigurationError(fault)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def __repr__(self) -> str:
        return f"_Reader(line {self._line()})"

    def read(self) -> dict[str, str]:
        values: dict[str, str] = {}
        while self._at < len(self._text):
            self._skip(" \t\n")
            if self._at == len(self._text):
                break
            if self._text[self._at] == "#":
                self._at = self._end_of_line()
                continue
            found = _NAME.match(self._text, self._at)
            if found is None:
                raise self._refused("is not NAME=value")
            if found.group(1) in values:
                raise self._refused("has a name that was there before")
            self._at = found.end()
            values[found.group(1)] = self._value()
        return values

    def _value(self) -> str:
        mark = self._text[self._at : self._at + 1]
        if mark == "'":
            value = self._single()
        elif mark == '"':
            value = self._double()
        else:
            return self._bare()
        self._skip(" \t")
        if self._text[self._at : self._at + 1] not in ("", "\n", "#"):
            raise self._refused("goes on behind the closing quote")
        self._at = self._end_of_line()
        return value

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self._refused("has no closing quote")
        value = self._text[self._at + 1 : end]
        self._at = end + 1
        return value

    def _double(self) -> str:
        value: list[str] = []
        at = self._at + 1
        while at < len(self._text):
            letter = self._text[at]
            if letter == '"':
                self._at = at + 1
                return "".join(value)
            if letter == "\\":
                at += 1
                letter = _ESCAPES.get(self._text[at : at + 1], "")
                if not letter:
                    raise self._refused("has a backslash that means nothing here; use single quotes")
            value.append(letter)
            at += 1
        raise self._refused("has no closing quote")

    def _bare(self) -> str:
        end = self._end_of_line()
        value = self._text[self._at : end].rstrip(" \t")
        if "`" in value or re.search(r"(?:^|[ \t])#", value):
            raise self._refused("has a backtick, or a # behind a blank; use single quotes")
        self._at = end
        return value

    def _skip(self, letters: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in letters:
            self._at += 1

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"line {self._line()} of the env file {why}")
