"""Vectors of sections 1 and 3: encodings, ids, header, frame, derivations, envelope, key wraps, transfer key."""

import hashlib

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import splitvault_protocol as p
from fixtures import expand, expand_value, oaep, pkcs8, rsa_key

VAULT, OTHER_VAULT = expand("vault", 16), expand("other vault", 16)
ENVIRONMENT, OTHER_ENVIRONMENT = expand("environment", 16), expand("other environment", 16)
SECRET, OTHER_SECRET = expand("secret", 16), expand("other secret", 16)


def negative(reason, name=None, **fields):
    return {"name": name or reason, "reason": reason, **fields}


def encodings():
    samples = [b"", b"\0", b"\xff", b"\xfb\xff", b"\xfb\xef\xbe", expand("encoding", 16), expand("encoding", 32)]
    positive = [
        {"name": f"{kind} of {data.hex() or 'nothing'}", "kind": kind, "text": encode(data), "bytes": data.hex()}
        for kind, encode in (("b64", p.b64), ("base64", p.base64))
        for data in samples
    ]
    for parts in ([], [b""], [b"", b""], [b"a", b"bc"], [b"ab", b"c"], [expand("part", 300)]):
        hexes = [part.hex() for part in parts]
        positive.append(
            {"name": f"LP of {len(parts)} parts: {','.join(hexes)[:20]}", "kind": "lp", "parts": hexes}
            | {"bytes": p.lp(*parts).hex()}
        )
    bad = {
        "b64": {
            "padded": "AA==",
            "an unused bit is set": "AB",
            "unused bits are set, three characters": "AAB",
            "one character cannot be": "A",
            "five characters cannot be": "AAAAA",
            "plus of the other alphabet": "-_+_",
            "slash of the other alphabet": "-_/_",
            "leading space": " AAAA",
            "trailing newline": "AAAA\n",
            "newline within": "AA\nAA",
            "a NUL": "AA\0A",
            "not ASCII": "AAA\u00c4",
            "full-width letters": "\uff21\uff21\uff21\uff21",
        },
        "base64": {
            "not padded": "AA",
            "too little padding": "AA=",
            "too much padding": "AAA==",
            "padding for nothing": "AAAA====",
            "an unused bit is set": "AB==",
            "minus of the other alphabet": "-/+/",
            "underscore of the other alphabet": "+_+/",
            "trailing newline": "AAAA\n",
            "padding within": "AA==AAAA",
            "not ASCII": "AAA\u00c4",
        },
    }
    negatives = [
        negative(reason, f"{kind}: {reason}", kind=kind, text=text)
        for kind, cases in bad.items()
        for reason, text in cases.items()
    ]
    return {"positive": positive, "negative": negatives}


def ids():
    raws = [bytes(16), b"\xff" * 16, expand("id", 16)]
    positive = [
        {"name": f"{prefix} {raw.hex()}", "prefix": prefix, "raw": raw.hex(), "text": p.format_id(prefix, raw)}
        for prefix in p.PREFIXES
        for raw in raws
    ]
    text = p.format_id("sec", expand("id", 16))
    cases = {
        "no prefix": text[4:],
        "another prefix": "vlt" + text[3:],
        "unknown prefix": "key" + text[3:],
        "prefix in capitals": "SEC" + text[3:],
        "minus instead of underscore": "sec-" + text[4:],
        "two underscores": "sec__" + text[4:],
        "21 characters": text[:-1],
        "23 characters": text + "A",
        "15 bytes": "sec_" + p.b64(bytes(15)),
        "17 bytes": "sec_" + p.b64(bytes(17)),
        "an unused bit is set": "sec_" + "A" * 21 + "B",
        "padded": text + "==",
        "hexadecimal": "sec_" + expand("id", 16).hex(),
        "a space before": " " + text,
        "a newline after": text + "\n",
        "empty": "",
        "prefix alone": "sec_",
    }
    return {
        "positive": positive,
        "negative": [negative(reason, prefix="sec", text=text) for reason, text in cases.items()],
    }


def headers():
    positive = [
        {
            "name": f"version {version}",
            "vault": p.format_id("vlt", VAULT),
            "environment": p.format_id("env", ENVIRONMENT),
            "secret": p.format_id("sec", SECRET),
            "version": version,
            "header": p.header(VAULT, ENVIRONMENT, SECRET, version).hex(),
        }
        for version in (1, 2, 255, 256, 2**32, p.MAX_INTEGER)
    ]
    return {
        "positive": positive,
        "negative": [
            negative("there is no version 0", version=0),
            negative("2^53 is above the greatest version", version=2**53),
        ],
    }


FRAME_LENGTHS = (
    *(0, 1, 2, 58, 59, 60, 61, 122, 123, 124, 187, 188, 250, 251, 252, 506, 507, 508),
    *(1018, 1019, 1020, 1147, 1148, 2042, 2043, 2044, 65_531, 65_532, 1_048_571, 1_048_572, 1_048_576),
)


def value_fields(kind, length, seed):
    """Small values in full; large ones by their seed (see fixtures.expand_value)."""
    fields = {"kind": ("text", "bytes")[kind], "length": length}
    value = expand_value(kind, seed, length)
    return value, fields | ({"value": value.hex()} if length <= 300 else {"seed": seed})


def bytes_fields(name, data):
    """Small byte strings in full; of large ones the length and the SHA-256."""
    if len(data) <= 1_300:
        return {name: data.hex()}
    return {f"{name}_length": len(data), f"{name}_sha256": hashlib.sha256(data).hexdigest()}


def frames():
    positive = []
    for kind in (p.TEXT, p.BYTES):
        for length in FRAME_LENGTHS:
            value, fields = value_fields(kind, length, f"frame {length}")
            positive.append({"name": f"{fields['kind']}, {length}", **fields})
            positive[-1].update(bytes_fields("frame", p.make_frame(kind, value)))
    umlaut = "Schl\u00fcssel \U0001f511".encode()
    positive.append({"name": "text that is not ASCII", "kind": "text", "length": len(umlaut), "value": umlaut.hex()})
    positive[-1]["frame"] = p.make_frame(p.TEXT, umlaut).hex()

    def raw(kind, length, value, total):
        head = bytes([kind]) + p.u32(length) + value
        return head + bytes(total - len(head))

    word = b"secret"
    good = p.make_frame(p.BYTES, word)
    cases = {
        "kind 2": raw(2, 6, word, 64),
        "kind 255": raw(255, 6, word, 64),
        "empty": b"",
        "four bytes": good[:4],
        "only the used bytes": good[:11],
        "one byte short": good[:-1],
        "one byte long": good + b"\0",
        "one step long": good + bytes(64),
        "one step short": p.make_frame(p.BYTES, bytes(60))[:-64],
        "length is one more than there is": raw(1, 60, bytes(59), 64),
        "length is far more than there is": raw(1, 2**32 - 1, word, 64),
        "length says a smaller frame": raw(1, 59, bytes(59), 128),
        "first byte of the padding is not zero": good[:11] + b"\x01" + good[12:],
        "last byte of the padding is not zero": good[:-1] + b"\x01",
        "last byte of the padding is 0x80": good[:-1] + b"\x80",
        "step 64 where 128 is due": raw(1, 1020, bytes(1020), 1088),
        "step 128 where 64 is due": raw(1, 507, bytes(507), 640),
        "text: a byte that UTF-8 never has": raw(0, 1, b"\xff", 64),
        "text: cut in a character": raw(0, 1, b"\xc3", 64),
        "text: overlong form of a slash": raw(0, 2, b"\xc0\xaf", 64),
        "text: a surrogate": raw(0, 3, b"\xed\xa0\x80", 64),
    }
    negatives = [negative(reason, frame=frame.hex()) for reason, frame in cases.items()]
    build = {"kind": 1, "length": p.MAX_VALUE + 1, "seed": "too large", "size": p.frame_size(p.MAX_VALUE + 1)}
    negatives.append(negative("one byte above the greatest value", build=build))
    return {"positive": positive, "negative": negatives}


def derivations():
    h = p.header(VAULT, ENVIRONMENT, SECRET, 1)
    key, other = expand("dek", 32), expand("root key", 32)
    digest = expand("digest", 32)
    cases = [
        ("the encryption key", key, "encrypt", [h]),
        ("the commitment", key, "commit", [h]),
        ("a release key", other, "release", [digest]),
        ("a release key of another digest", other, "release", [expand("other digest", 32)]),
        ("a release key of another root key", key, "release", [digest]),
        ("an encryption key of version 2", key, "encrypt", [p.header(VAULT, ENVIRONMENT, SECRET, 2)]),
    ]
    positive = [
        {"name": name, "key": k.hex(), "label": label, "parts": [part.hex() for part in parts]}
        | {"output": p.derive(k, label, *parts).hex()}
        for name, k, label, parts in cases
    ]
    # A derivation cannot be refused; these outputs must not come out.
    wrong = [
        ("parts run together without lengths", _expand(key, b"splitvault/1/encrypt" + h)),
        ("extract and expand", _expand(p.hmac.digest(bytes(32), key, "sha256"), p.lp("splitvault/1/encrypt", h))),
        ("label without its prefix", _expand(key, p.lp("encrypt", h))),
        ("the commitment as encryption key", p.derive(key, "commit", h)),
    ]
    parts = [h.hex()]
    negatives = [
        negative(reason, key=key.hex(), label="encrypt", parts=parts, output=output.hex()) for reason, output in wrong
    ]
    return {"positive": positive, "negative": negatives}


def _expand(prk, info):
    return p.HKDFExpand(p.hashes.SHA256(), 32, info).derive(prk)


STORAGE_KEY, TRANSFER_KEY, ROOT_KEY = expand("storage key", 32), expand("transfer key", 32), expand("root key", 32)


def sealed(name, kind, length, version=1, secret=SECRET, environment=ENVIRONMENT, vault=VAULT, root_key=ROOT_KEY):
    """(fields of a vector, ciphertext)"""
    dek, nonce = expand(f"dek {name}", 32), expand(f"nonce {name}", 12)
    value, fields = value_fields(kind, length, f"value {name}")
    envelope = p.seal_envelope(vault, environment, secret, version, root_key, kind, value, dek, nonce)
    h = p.header(vault, environment, secret, version)
    entry = {
        "name": name,
        "vault": p.format_id("vlt", vault),
        "environment": p.format_id("env", environment),
        "secret": p.format_id("sec", secret),
        "version": version,
        "root_key": root_key.hex(),
        "storage_key": STORAGE_KEY.hex(),
        "transfer_key": TRANSFER_KEY.hex(),
        "dek": dek.hex(),
        **fields,
        "header": h.hex(),
        "encryption_key": p.derive(dek, "encrypt", h).hex(),
        "commit": envelope["commit"].hex(),
        "nonce": nonce.hex(),
        **bytes_fields("ciphertext", envelope["ciphertext"]),
        "digest": envelope["digest"].hex(),
        "release_key": p.release_key(root_key, envelope["digest"]).hex(),
        "inner": envelope["inner"].hex(),
        "moved": p.aes_wrap(TRANSFER_KEY, envelope["inner"]).hex(),
        "stored": p.aes_wrap(STORAGE_KEY, envelope["inner"]).hex(),
    }
    return entry


OPENING = ("vault", "environment", "secret", "version", "storage_key", "release_key", "stored")
OPENING += ("commit", "nonce", "ciphertext")


def forged(entry, frame, commit=None):
    """The opening of a row made with the right data key, but with this frame and commitment."""
    dek, h, nonce = (bytes.fromhex(entry[name]) for name in ("dek", "header", "nonce"))
    commit = commit or bytes.fromhex(entry["commit"])
    ciphertext = AESGCM(p.derive(dek, "encrypt", h)).encrypt(nonce, frame, h + commit)
    rk = p.release_key(bytes.fromhex(entry["root_key"]), p.envelope_digest(h, commit, nonce, ciphertext))
    stored = p.aes_wrap(bytes.fromhex(entry["storage_key"]), p.aes_wrap(rk, dek))
    pieces = {"commit": commit, "ciphertext": ciphertext, "release_key": rk, "stored": stored}
    return {name: value.hex() for name, value in pieces.items()}


def envelopes():
    positive = [
        sealed("text", p.TEXT, 20),
        sealed("bytes", p.BYTES, 20),
        sealed("empty text", p.TEXT, 0),
        sealed("one byte", p.BYTES, 1),
        sealed("fills a frame", p.BYTES, 59),
        sealed("one more than a frame", p.BYTES, 60),
        sealed("version 2", p.TEXT, 20, version=2),
        sealed("greatest version", p.TEXT, 20, version=p.MAX_INTEGER),
        sealed("another secret", p.TEXT, 20, secret=OTHER_SECRET),
        sealed("another environment", p.TEXT, 20, environment=OTHER_ENVIRONMENT, root_key=expand("other root key", 32)),
        sealed("another vault", p.TEXT, 20, vault=OTHER_VAULT),
        sealed("64 KiB", p.BYTES, 65_536),
        sealed("greatest value", p.BYTES, p.MAX_VALUE),
    ]
    by_name = {entry["name"]: entry for entry in positive}
    base, newer, secret2 = by_name["text"], by_name["version 2"], by_name["another secret"]
    out = []

    def refuse(reason, of=base, **changes):
        out.append(negative(reason, **{name: changes.get(name, of[name]) for name in OPENING}))

    def flip(name, position=0):
        data = bytearray.fromhex(base[name])
        data[position] ^= 1
        return data.hex()

    refuse("another vault", vault=p.format_id("vlt", OTHER_VAULT))
    refuse("another environment", environment=p.format_id("env", OTHER_ENVIRONMENT))
    refuse("another secret", secret=p.format_id("sec", OTHER_SECRET))
    refuse("another version", version=2)
    refuse(
        "secret and environment exchanged",
        secret="sec_" + base["environment"][4:],
        environment="env_" + base["secret"][4:],
    )
    refuse("another storage key", storage_key=TRANSFER_KEY.hex())
    refuse("release key of another version", release_key=newer["release_key"])
    refuse(
        "release key of another root key",
        release_key=p.release_key(expand("other root key", 32), bytes.fromhex(base["digest"])).hex(),
    )
    for name, other in (("version 2", newer), ("another secret", secret2)):
        for piece in ("stored", "commit", "nonce", "ciphertext"):
            refuse(f"{piece} of {name}", **{piece: other[piece]})
        row = {piece: other[piece] for piece in ("commit", "nonce", "ciphertext")}
        refuse(f"row of {name} with the own wrapped key", **row)
        refuse(f"whole row of {name} with the own release key", **row, stored=other["stored"])
        refuse(f"whole row and release key of {name}", **row, stored=other["stored"], release_key=other["release_key"])
    refuse(
        "an older row for a newer version, with the newer release key",
        of=newer,
        **{piece: base[piece] for piece in ("stored", "commit", "nonce", "ciphertext")},
    )
    wrong = forged(base, p.make_frame(p.TEXT, b"value"), commit=expand("wrong commit", 32))
    refuse("a ciphertext that opens, under a wrong commitment", **wrong)
    for piece in ("stored", "commit", "nonce", "ciphertext"):
        refuse(f"first bit of {piece}", **{piece: flip(piece)})
        refuse(f"last bit of {piece}", **{piece: flip(piece, -1)})
    ct = base["ciphertext"]
    refuse("tag cut off", ciphertext=ct[:-32])
    refuse("one byte cut off", ciphertext=ct[:-2])
    refuse("one byte more", ciphertext=ct + "00")
    refuse("one step more", ciphertext=ct + "00" * 64)
    refuse("only a tag", ciphertext=ct[-32:])
    refuse("empty ciphertext", ciphertext="")
    refuse("tag of 12 bytes", ciphertext=ct[:-8])
    refuse("commitment of 31 bytes", commit=base["commit"][:-2])
    refuse("commitment of 33 bytes", commit=base["commit"] + "00")
    refuse("empty commitment", commit="")
    refuse("nonce of 11 bytes", nonce=base["nonce"][:-2])
    refuse("nonce of 13 bytes", nonce=base["nonce"] + "00")
    refuse("nonce of 16 bytes", nonce=base["nonce"] + "00" * 4)
    refuse("empty nonce", nonce="")
    refuse("stored is inner itself", stored=base["inner"])
    refuse("stored is moved", stored=base["moved"])
    refuse("stored of 47 bytes", stored=base["stored"][:-2])
    refuse("stored of 56 bytes", stored=base["stored"] + "00" * 8)
    refuse("stored is the initial value of RFC 3394", stored="a6" * 8)
    refuse("stored is six initial values of RFC 3394", stored="a6" * 48)
    refuse("empty stored", stored="")
    word = p.make_frame(p.TEXT, b"secret")
    refuse("frame: kind 2", **forged(base, b"\x02" + word[1:]))
    refuse("frame: last byte of the padding is not zero", **forged(base, word[:-1] + b"\x01"))
    refuse("frame: no padding", **forged(base, word[:11]))
    refuse("frame: one step too long", **forged(base, word + bytes(64)))
    refuse("frame: length beyond the end", **forged(base, word[:1] + p.u32(60) + word[5:]))
    refuse("frame: text that is not UTF-8", **forged(base, b"\x00" + p.u32(1) + b"\xff" + bytes(58)))
    return {"positive": positive, "negative": out}


def key_wraps():
    inner = p.aes_wrap(expand("release key", 32), expand("dek", 32))
    cases = [
        ("inner", expand("release key", 32), expand("dek", 32)),
        ("inner of zeros", expand("release key", 32), bytes(32)),
        ("moved", TRANSFER_KEY, inner),
        ("stored", STORAGE_KEY, inner),
        ("stored, data is five initial values", STORAGE_KEY, b"\xa6" * 40),
    ]
    positive = [
        {"name": name, "key": key.hex(), "data": data.hex(), "wrapped": p.aes_wrap(key, data).hex()}
        for name, key, data in cases
    ]
    wrapped = p.aes_wrap(STORAGE_KEY, inner)

    def flip(position):
        data = bytearray(wrapped)
        data[position] ^= 0x80
        return bytes(data)

    bad = [
        ("the initial value alone: some implementations open it to nothing, under every key", "a6" * 8, 0),
        ("the initial value alone, asked for 40 bytes", "a6" * 8, 40),
        ("the initial value of RFC 5649 alone", "a65959a600000000", 40),
        ("six initial values", "a6" * 48, 40),
        ("zeros", "00" * 48, 40),
        ("empty", "", 40),
        ("cut by 8 bytes", wrapped[:-8].hex(), 40),
        ("cut by 8 bytes, asked for 32", wrapped[:-8].hex(), 32),
        ("cut by 1 byte", wrapped[:-1].hex(), 40),
        ("8 bytes more", (wrapped + bytes(8)).hex(), 40),
        ("first bit", flip(0).hex(), 40),
        ("a bit of the first block", flip(8).hex(), 40),
        ("last block", flip(-1).hex(), 40),
        ("under another key", p.aes_wrap(TRANSFER_KEY, inner).hex(), 40),
        ("wrapped with padding (RFC 5649)", keywrap.aes_key_wrap_with_padding(STORAGE_KEY, inner).hex(), 40),
        ("two blocks exchanged", (wrapped[:8] + wrapped[16:24] + wrapped[8:16] + wrapped[24:]).hex(), 40),
        ("a whole, but shorter, wrapped key", p.aes_wrap(STORAGE_KEY, bytes(32)).hex(), 40),
        ("a whole, but longer, wrapped key", p.aes_wrap(STORAGE_KEY, bytes(48)).hex(), 40),
    ]
    negatives = [
        negative(reason, key=STORAGE_KEY.hex(), wrapped=text, data_length=length) for reason, text, length in bad
    ]
    return {"positive": positive, "negative": negatives}


def transfer_keys():
    key, other, large = rsa_key("transport"), rsa_key("other transport"), rsa_key("large transport", 3072)
    label = b"splitvault/1/transfer"

    def entry(private, name):
        wrapped = oaep(private.public_key(), TRANSFER_KEY, label, name)
        pair = {"private_key": pkcs8(private).hex(), "public_key": p.jwk_of(private.public_key())}
        return {"name": name, **pair, "transfer_key": TRANSFER_KEY.hex(), "wrapped": wrapped.hex()}

    good = oaep(key.public_key(), TRANSFER_KEY, label, "2048 bits")

    def bad(message=TRANSFER_KEY, label=label, **hashes):
        return oaep(key.public_key(), message, label, "bad", **hashes)

    n = key.public_key().public_numbers().n
    cases = {
        "another label": bad(label=b"splitvault/2/transfer"),
        "no label": bad(label=b""),
        "SHA-1 for both hashes": bad(hash_name="sha1", mgf_hash_name="sha1"),
        "SHA-1 for the mask": bad(mgf_hash_name="sha1"),
        "SHA-1 for the label": bad(hash_name="sha1"),
        "SHA-512 for both hashes": bad(hash_name="sha512", mgf_hash_name="sha512"),
        "for another key": oaep(other.public_key(), TRANSFER_KEY, label, "bad"),
        "a transfer key of 31 bytes": bad(TRANSFER_KEY[:-1]),
        "a transfer key of 33 bytes": bad(TRANSFER_KEY + b"\0"),
        "a transfer key of 16 bytes": bad(TRANSFER_KEY[:16]),
        "an empty transfer key": bad(b""),
        "first bit": bytes([good[0] ^ 1]) + good[1:],
        "last bit": good[:-1] + bytes([good[-1] ^ 1]),
        "one byte short": good[:-1],
        "one byte long, a zero before": b"\0" + good,
        "one byte long, a zero after": good + b"\0",
        "empty": b"",
        "all zeros": bytes(256),
        "as large as the modulus": n.to_bytes(256, "big"),
        "the modulus is added": (int.from_bytes(good, "big") + n).to_bytes(257, "big"),
        "PKCS #1 version 1.5": pow(
            int.from_bytes(b"\0\2" + b"\x55" * (256 - 35) + b"\0" + TRANSFER_KEY, "big"), 65537, n
        ).to_bytes(256, "big"),
    }
    private = pkcs8(key).hex()
    return {
        "positive": [entry(key, "2048 bits"), entry(large, "3072 bits")],
        "negative": [negative(reason, private_key=private, wrapped=data.hex()) for reason, data in cases.items()],
    }


def files():
    return {
        "encoding": ("b64, base64 and LP (section 1).", encodings()),
        "id": ("Ids as text and as bytes (section 1).", ids()),
        "header": ("H of the envelope (section 3).", headers()),
        "frame": ("frame(value) (section 3). Values with a seed: see tests/protocol/fixtures.py.", frames()),
        "derive": ("F (section 1). The outputs under negative must not come out.", derivations()),
        "envelope": ("Sealing and opening (section 3). Entries under negative must not open.", envelopes()),
        "key_wrap": ("AES-KW of inner, moved and stored (section 3).", key_wraps()),
        "transfer_key": ("TK' (section 3). Private keys are PKCS#8 in hex.", transfer_keys()),
    }
