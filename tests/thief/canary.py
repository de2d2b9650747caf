"""Search for a value of which only the SHA-256 and perhaps the length is known, in the encodings that leak values."""

import hashlib
import re
import urllib.parse

from loot import decode_loosely

WORDS = re.compile(rb"[!-~]{4,}")
PARTS = re.compile(rb"[\"',:;&=\s<>{}()\[\]]+")
HEX = re.compile(rb"[0-9a-fA-F]{8,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{6,}={0,2}")


def _views(data):
    """(encoding, bytes) of the data itself and of every run in it that decodes."""
    yield "raw", data
    for match in HEX.finditer(data):
        for run in (match.group(), match.group()[1:]):
            yield "hex", bytes.fromhex(run[: len(run) // 2 * 2].decode())
    for match in BASE64.finditer(data):
        run = match.group()
        for skipped in range(4):
            rest = run[skipped:].rstrip(b"=")
            yield "base64", decode_loosely(rest[: len(rest) - (len(rest) % 4 == 1)])
    if b"%" in data:
        yield "percent", urllib.parse.unquote_to_bytes(data)


def _candidates(view, length):
    """What in a view could be the value: every window of its length, or without a length whole views and words."""
    if length is not None:
        for start in range(len(view) - length + 1):
            yield view[start : start + length]
        return
    yield view
    for match in WORDS.finditer(view):
        yield match.group()
        yield from PARTS.split(match.group())


def search(files, digest, length=None):
    """[{"file", "encoding"}]: where a value with this SHA-256 lies in `files`, which are pairs of name and bytes."""
    hits = []
    for name, data in files:
        for encoding, view in _views(data):
            if any(hashlib.sha256(candidate).digest() == digest for candidate in _candidates(view, length)):
                hit = {"file": name, "encoding": encoding}
                if hit not in hits:
                    hits.append(hit)
    return hits
