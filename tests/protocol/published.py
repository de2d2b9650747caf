"""Published vectors of the primitives: from the package `cryptography-vectors` to small JSON for the Rust tests."""

import json
import pathlib
import re

import cryptography_vectors

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "shared-proto" / "vectors" / "published"


def _read(path):
    with cryptography_vectors.open_vector_file(path, "r") as file:
        return file.read()


def _blocks(text):
    """The cases of a response file as {lower-case name: value}; a bare FAIL is the member `fail`."""
    for paragraph in re.split(r"(?m)^COUNT", text):
        lines = [line.strip() for line in paragraph.splitlines() if not line.startswith(("#", "["))]
        block = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines if "=" in line)
        block = {name.lower(): value for name, value in block.items()}
        if "FAIL" in lines:
            block["fail"] = True
        yield block


def all_nist_keywrap():
    """Every case of NIST's AES-256 files: wrapping (AE) and unwrapping (AD)."""
    for name in ("KW_AE_256", "KW_AD_256"):
        yield from (b for b in _blocks(_read(f"keywrap/kwtestvectors/{name}.txt")) if "k" in b)


def _nist_subset():
    blocks = [block for block in _blocks(_read("keywrap/kwtestvectors/KW_AD_256.txt")) if "k" in block]
    chosen = []
    # Wrapped keys of 40 and 48 bytes are those of the protocol; as many failures as successes of each.
    for size, count in ((24, 2), (32, 2), (40, 6), (48, 6)):
        fitting = [block for block in blocks if len(block["c"]) == 2 * size]
        chosen += [b for b in fitting if b.get("fail")][:count] + [b for b in fitting if not b.get("fail")][:count]
    for number, block in enumerate(chosen):
        case = {"name": f"{'fail' if block.get('fail') else 'good'} {number}", "key": block["k"], "wrapped": block["c"]}
        yield case if block.get("fail") else {**case, "data": block["p"]}


def _rfc3394():
    # RFC 3394 section 4; the package checks these inside of its own tests, so they stand here as the RFC prints them.
    kek = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    data = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
    wrapped = {
        "4.3": (32, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
        "4.5": (48, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"),
        "4.6": (64, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
    }
    for section, (digits, text) in wrapped.items():
        yield {"name": f"RFC 3394 section {section}", "key": kek, "data": data[:digits], "wrapped": text}


def _rfc5869():
    for block in _blocks(_read("KDF/rfc-5869-HKDF-SHA256.txt")):
        if "prk" in block:
            yield {
                "name": f"RFC 5869 with {len(block['info']) // 2} bytes of info",
                "prk": block["prk"],
                "info": block["info"],
                "length": int(block["l"]),
                "okm": block["okm"],
            }


def _rfc9180():
    for suite in json.loads(_read("HPKE/test-vectors.json")):
        if (suite["mode"], suite["kem_id"], suite["kdf_id"], suite["aead_id"]) == (0, 0x20, 1, 2):
            first = suite["encryptions"][0]
            yield {
                "name": "RFC 9180 base mode, first message",
                "info": suite["info"],
                "recipient_private_key": suite["skRm"],
                "recipient_public_key": suite["pkRm"],
                "ephemeral_private_key": suite["skEm"],
                "enc": suite["enc"],
                "aad": first["aad"],
                "pt": first["pt"],
                "ct": first["ct"],
            }


_PACKAGE = "PyPI cryptography-vectors 50.0.2"
_FILES = {
    "nist-kw-ad-256": (f"NIST CAVP, SP 800-38F, KW-AD with AES-256: {_PACKAGE}, keywrap/kwtestvectors", _nist_subset),
    "rfc-3394": ("RFC 3394 section 4, 256-bit key encryption key", _rfc3394),
    "rfc-5869": (f"RFC 5869 appendix A, SHA-256, the expand step: {_PACKAGE}, KDF", _rfc5869),
    "rfc-9180": (f"RFC 9180 test vectors, X25519, HKDF-SHA256, AES-256-GCM: {_PACKAGE}, HPKE", _rfc9180),
}


def export():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (source, cases) in _FILES.items():
        document = {"source": source, "cases": list(cases())}
        assert document["cases"], name
        (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text())["cases"]
