"""Vectors of JWKs, credentials, and what identity keys sign outside of tokens: statements, feed states, receipts."""

import json

import splitvault_protocol as p
from fixtures import ed25519_key, expand, rsa_key, x25519_key
from vectors_envelope import ENVIRONMENT, OTHER_ENVIRONMENT, OTHER_SECRET, OTHER_VAULT, SECRET, VAULT, negative

NOW = 1_800_000_000
MANAGER_ID, OTHER_MANAGER_ID = (p.format_id("mgr", expand(name, 16)) for name in ("manager", "other manager"))
VAULT_ID, OTHER_VAULT_ID = p.format_id("vlt", VAULT), p.format_id("vlt", OTHER_VAULT)
ENVIRONMENT_ID, OTHER_ENVIRONMENT_ID = p.format_id("env", ENVIRONMENT), p.format_id("env", OTHER_ENVIRONMENT)
SECRET_ID, OTHER_SECRET_ID = p.format_id("sec", SECRET), p.format_id("sec", OTHER_SECRET)
MANAGER_IDENTITY, VAULT_IDENTITY = ed25519_key("manager identity"), ed25519_key("vault identity")
STRANGER = ed25519_key("stranger")


def text_of(document):
    return p.compact_json(document).decode()


def with_member(document, name, value):
    return text_of({**document, name: value})


def without_member(document, name):
    return text_of({key: value for key, value in document.items() if key != name})


def repeated(document, name, value=None):
    """The document with a member given twice, the second time with `value`."""
    again = json.dumps(document[name] if value is None else value)
    return f'{text_of(document)[:-1]},"{name}":{again}}}'


def with_number(document, name, literal):
    """The document with a number written as `literal`."""
    return text_of({**document, name: 0}).replace(f'"{name}":0', f'"{name}":{literal}')


def member_faults(document, numbers=()):
    """(reason, text) of what every reader of JSON refuses, for each member."""
    for name in document:
        yield f"{name} is missing", without_member(document, name)
        yield f"{name} is given twice", repeated(document, name)
        yield f"{name} is null", with_member(document, name, None)
        wrong = str(document[name]) if name in numbers else 1
        yield f"{name} is of another type", with_member(document, name, wrong)
    for name in numbers:
        for literal in (f"{document[name]}.0", f"{document[name]}e0", "-1", "true", "9007199254740992"):
            yield f"{name} is {literal}", with_number(document, name, literal)
    yield "an unknown member", with_member(document, "note", "")
    yield (
        "a member given twice, once escaped",
        repeated(document, next(iter(document))).replace(
            f',"{next(iter(document))}":', f',"\\u{ord(next(iter(document))[0]):04x}{next(iter(document))[1:]}":'
        ),
    )
    yield "text after it", text_of(document) + "{}"
    yield "an array around it", f"[{text_of(document)}]"
    yield "its values in an array, without names", text_of(list(document.values()))
    yield "not JSON", text_of(document)[:-1]
    yield "a byte order mark before it", "\ufeff" + text_of(document)


def flipped(text):
    """b64 text with the first bit of its bytes changed."""
    data = bytearray(p.b64_decode(text))
    data[0] ^= 0x80
    return p.b64(bytes(data))


def unused_bit(text):
    """b64 text with an unused bit set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def jwks():
    rfc7638 = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }  # fmt: skip
    rfc8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    positive = []

    def accept(name, jwk, expected=None):
        print_ = p.thumbprint(jwk)
        assert expected in (None, p.b64(print_)), name
        p.parse_jwk(jwk)
        positive.append({"name": name, "text": text_of(jwk), "thumbprint": print_.hex(), "kid": p.b64(print_)})

    accept("RFC 7638 section 3.1", rfc7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
    accept("RFC 8037 appendix A.3", rfc8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    good = p.jwk_of(rsa_key("token signing").public_key())
    accept("RSA of 2048 bits", good)
    accept("RSA of 3072 bits", p.jwk_of(rsa_key("large transport", 3072).public_key()))
    accept("X25519", p.jwk_of(x25519_key("seal").public_key()))
    accept("members in another order", {name: good[name] for name in ("n", "e", "kty")})
    okp = p.jwk_of(MANAGER_IDENTITY.public_key())
    n, e = p.b64_decode(good["n"]), p.b64_decode(good["e"])
    small = p.jwk_of(rsa_key("small", 1024).public_key())
    cube = p.jwk_of(rsa_key("cube", 2048, 3).public_key())
    cases = dict(member_faults(good))
    cases |= {f"OKP: {reason}": text for reason, text in member_faults(okp)}
    cases |= {
        "RSA of 1024 bits": text_of(small),
        "RSA of 2047 bits": with_member(good, "n", p.b64(bytes([n[0] & 0x7F | 0x40]) + n[1:])),
        "RSA of 4104 bits": with_member(good, "n", p.b64(b"\xff" + expand("4104 bits", 511) + b"\x01")),
        "exponent 3": text_of(cube),
        "exponent 1": with_member(good, "e", "AQ"),
        "exponent 65535": with_member(good, "e", p.b64(b"\xff\xff")),
        "an even exponent": with_member(good, "e", p.b64(b"\x01\x00\x02")),
        "an even modulus": with_member(good, "n", p.b64(n[:-1] + bytes([n[-1] ^ 1]))),
        "n is empty": with_member(good, "n", ""),
        "e is empty": with_member(good, "e", ""),
        "n has a leading zero byte": with_member(good, "n", p.b64(b"\0" + n)),
        "e has a leading zero byte": with_member(good, "e", p.b64(b"\0" + e)),
        "n is padded": with_member(good, "n", good["n"] + "=="),
        "n has an unused bit": with_member(good, "n", unused_bit(good["n"])),
        "a private exponent": with_member(good, "d", "AQAB"),
        "alg": with_member(good, "alg", "RS256"),
        "kid": with_member(good, "kid", "a"),
        "use": with_member(good, "use", "sig"),
        "kty is EC": with_member(good, "kty", "EC"),
        "kty is rsa": with_member(good, "kty", "rsa"),
        "kty is oct": text_of({"kty": "oct", "k": "AAAA"}),
        "crv is Ed448": with_member(okp, "crv", "Ed448"),
        "crv is P-256": with_member(okp, "crv", "P-256"),
        "x of 31 bytes": with_member(okp, "x", p.b64(bytes(31))),
        "x of 33 bytes": with_member(okp, "x", p.b64(bytes(33))),
        "x has an unused bit": with_member(okp, "x", unused_bit(okp["x"])),
        "x is padded": with_member(okp, "x", okp["x"] + "="),
        "OKP with d": with_member(okp, "d", okp["x"]),
    }
    return {"positive": positive, "negative": [negative(reason, text=text) for reason, text in cases.items()]}


def statements():
    signing, transport = rsa_key("token signing").public_key(), rsa_key("transport").public_key()
    seal = x25519_key("seal").public_key()
    life = (NOW - 60, NOW + 3_600)
    cases = [
        ("token-signing", MANAGER_IDENTITY, MANAGER_ID, "token-signing", signing, life, NOW),
        ("transport", VAULT_IDENTITY, VAULT_ID, "transport", transport, life, NOW),
        ("seal", VAULT_IDENTITY, VAULT_ID, "seal", seal, life, NOW),
        ("the first second", VAULT_IDENTITY, VAULT_ID, "seal", seal, life, life[0]),
        ("the last second", VAULT_IDENTITY, VAULT_ID, "seal", seal, life, life[1] - 1),
    ]
    positive = []
    for name, identity, owner, purpose, key, times, now in cases:
        document = p.make_statement(identity, owner, purpose, key, *times)
        pin = p.jwk_of(identity.public_key())
        entry = {"name": name, "owner": owner, "identity": pin, "now": now, "text": text_of(document)}
        positive.append(entry | {"purpose": purpose, "key_kid": p.kid_of(key)})
    good = p.make_statement(VAULT_IDENTITY, VAULT_ID, "seal", seal, *life)
    negatives = []

    def refuse(reason, text, owner=VAULT_ID, identity=VAULT_IDENTITY, now=NOW):
        pin = p.jwk_of(identity.public_key())
        negatives.append(negative(reason, owner=owner, identity=pin, now=now, text=text))

    def remade(identity=VAULT_IDENTITY, owner=VAULT_ID, purpose="seal", key=seal, times=life):
        return text_of(p.make_statement(identity, owner, purpose, key, *times))

    for reason, text in member_faults(good, numbers=("not_before", "not_after")):
        refuse(reason, text)
    refuse("one second before it counts", text_of(good), now=life[0] - 1)
    refuse("the second it stops to count", text_of(good), now=life[1])
    refuse("it never counts", remade(times=(NOW + 1, NOW)))
    refuse("expected of another owner", text_of(good), owner=OTHER_VAULT_ID)
    refuse("expected of a manager", text_of(good), owner=MANAGER_ID)
    refuse(
        "signed by a stranger under the pinned kid",
        text_of({**p.make_statement(STRANGER, VAULT_ID, "seal", seal, *life), "kid": good["kid"]}),
    )
    refuse("signed by a stranger", remade(identity=STRANGER))
    refuse("another key is pinned", text_of(good), identity=STRANGER)
    refuse("kid of the stated key", with_member(good, "kid", p.kid_of(seal)))
    refuse("a manager states a seal key", remade(MANAGER_IDENTITY, MANAGER_ID), MANAGER_ID, MANAGER_IDENTITY)
    refuse(
        "a manager states a transport key",
        remade(MANAGER_IDENTITY, MANAGER_ID, "transport", transport),
        MANAGER_ID,
        MANAGER_IDENTITY,
    )
    refuse("a vault states a token signing key", remade(purpose="token-signing", key=signing))
    refuse("an RSA key as seal key", remade(key=transport))
    refuse("an X25519 key as transport key", remade(purpose="transport"))
    refuse("an Ed25519 key as seal key", remade(key=STRANGER.public_key()))
    refuse("an unknown purpose", remade(purpose="identity"))
    refuse("purpose changed after signing", with_member(good, "purpose", "transport"))
    refuse("owner changed after signing", with_member(good, "owner", OTHER_VAULT_ID), owner=OTHER_VAULT_ID)
    refuse("key changed after signing", with_member(good, "key", p.jwk_of(x25519_key("other seal").public_key())))
    refuse("not_before changed after signing", with_member(good, "not_before", life[0] + 1))
    refuse("not_after changed after signing", with_member(good, "not_after", life[1] + 1))
    refuse("signature: first bit", with_member(good, "signature", flipped(good["signature"])))
    refuse("signature: an unused bit", with_member(good, "signature", unused_bit(good["signature"])))
    refuse("signature: cut", with_member(good, "signature", good["signature"][:-2]))
    refuse("signature: empty", with_member(good, "signature", ""))
    refuse("the key has an unknown member", with_member(good, "key", {**good["key"], "use": "enc"}))
    refuse("the key is an array of its values", with_member(good, "key", list(good["key"].values())))
    refuse("the key has a member twice", text_of(good).replace('"crv":', '"crv":"X25519","crv":'))
    message = p.lp("splitvault/1/receipt", VAULT, "seal", p.thumbprint(good["key"]), p.u64(life[0]), p.u64(life[1]))
    refuse(
        "signed under the label of another document",
        with_member(good, "signature", p.b64(VAULT_IDENTITY.sign(message))),
    )
    return {"positive": positive, "negative": negatives}


def feeds():
    nonce, last = expand("feed nonce", 16), expand("event hash", 32)
    pin = p.jwk_of(VAULT_IDENTITY.public_key())

    def make(identity=VAULT_IDENTITY, vault=VAULT_ID, nonce=nonce, applied=7, last=last, time=NOW):
        return p.make_feed(identity, vault, nonce, applied, last, time)

    def entry(document, vault=VAULT_ID, nonce=nonce):
        text = document if isinstance(document, str) else text_of(document)
        return {"vault": vault, "nonce": p.b64(nonce), "identity": pin, "text": text}

    good = make()
    positive = [
        {"name": name, **entry(document), "applied": document["applied"], "event_hash": document["event_hash"]}
        for name, document in (("seven events", good), ("no event", make(applied=0, last=p.ZERO_HASH)))
    ]
    cases = {reason: entry(text) for reason, text in member_faults(good, numbers=("applied", "time"))}
    cases |= {
        "another nonce was asked with": entry(good, nonce=expand("other nonce", 16)),
        "another vault was asked": entry(good, vault=OTHER_VAULT_ID),
        "nonce changed after signing": entry(with_member(good, "nonce", p.b64(bytes(16))), nonce=bytes(16)),
        "vault changed after signing": entry(with_member(good, "vault", OTHER_VAULT_ID), vault=OTHER_VAULT_ID),
        "applied changed after signing": entry(with_member(good, "applied", 8)),
        "event_hash changed after signing": entry(with_member(good, "event_hash", flipped(good["event_hash"]))),
        "time changed after signing": entry(with_member(good, "time", NOW + 1)),
        "signed by a stranger": entry(make(identity=STRANGER)),
        "signed by a stranger under the pinned kid": entry({**make(identity=STRANGER), "kid": good["kid"]}),
        "nonce of 15 bytes": entry(with_member(good, "nonce", p.b64(bytes(15)))),
        "event_hash of 31 bytes": entry(with_member(good, "event_hash", p.b64(bytes(31)))),
        "event_hash has an unused bit": entry(with_member(good, "event_hash", unused_bit(good["event_hash"]))),
        "no event, with a hash": entry(make(applied=0)),
        "signature: first bit": entry(with_member(good, "signature", flipped(good["signature"]))),
        "signature: an unused bit": entry(with_member(good, "signature", unused_bit(good["signature"]))),
        "signature: empty": entry(with_member(good, "signature", "")),
    }
    return {"positive": positive, "negative": [negative(reason, **fields) for reason, fields in cases.items()]}


def receipts():
    pin = p.jwk_of(VAULT_IDENTITY.public_key())
    digest = expand("digest", 32)

    def make(identity=VAULT_IDENTITY, vault=VAULT_ID, version=3, state="stored", epoch=2, digest=digest):
        return p.make_receipt(identity, vault, ENVIRONMENT_ID, SECRET_ID, version, state, epoch, digest, NOW)

    def entry(document, vault=VAULT_ID):
        text = document if isinstance(document, str) else text_of(document)
        return {"vault": vault, "identity": pin, "text": text}

    def signed(**changes):
        """A receipt that says what the library would not sign."""
        document = {**good, **changes}
        ids = (p.b64_decode(document[name][4:]) for name in ("vault", "environment", "secret_id"))
        tail = p.u64(document["version"]), document["state"], p.u32(document["epoch"] % 2**32)
        message = p.lp("splitvault/1/receipt", *ids, *tail, p.b64_decode(document["digest"]), p.u64(document["time"]))
        return entry({**document, "signature": p.b64(VAULT_IDENTITY.sign(message))})

    good = make()
    tombstone = make(state="tombstone", epoch=0, digest=p.ZERO_HASH)
    positive = [
        {"name": name, **entry(document)}
        for name, document in (
            ("stored", good),
            ("tombstone", tombstone),
            ("greatest version and epoch", make(version=p.MAX_INTEGER, epoch=p.MAX_EPOCH)),
        )
    ]
    cases = {reason: entry(text) for reason, text in member_faults(good, numbers=("version", "epoch", "time"))}
    cases |= {
        "another vault was asked": entry(good, vault=OTHER_VAULT_ID),
        "vault changed after signing": entry(with_member(good, "vault", OTHER_VAULT_ID), vault=OTHER_VAULT_ID),
        "environment changed after signing": entry(with_member(good, "environment", OTHER_ENVIRONMENT_ID)),
        "secret changed after signing": entry(with_member(good, "secret_id", OTHER_SECRET_ID)),
        "version changed after signing": entry(with_member(good, "version", 4)),
        "epoch changed after signing": entry(with_member(good, "epoch", 1)),
        "digest changed after signing": entry(with_member(good, "digest", flipped(good["digest"]))),
        "time changed after signing": entry(with_member(good, "time", NOW - 1)),
        "state changed after signing": entry({**tombstone, "state": "stored", "epoch": 1}),
        "signed by a stranger": entry(make(identity=STRANGER)),
        "signed by a stranger under the pinned kid": entry({**make(identity=STRANGER), "kid": good["kid"]}),
        "stored at epoch 0": signed(epoch=0),
        "epoch 2^32": signed(epoch=2**32),
        "version 0": signed(version=0),
        "version 2^53": signed(version=2**53),
        "a tombstone at an epoch": signed(state="tombstone", digest=p.b64(p.ZERO_HASH)),
        "a tombstone with a digest": signed(state="tombstone", epoch=0),
        "an unknown state": signed(state="destroyed"),
        "state in capitals": signed(state="Stored"),
        "environment has another prefix": entry(with_member(good, "environment", "sec" + ENVIRONMENT_ID[3:])),
        "digest of 31 bytes": entry(with_member(good, "digest", p.b64(digest[:-1]))),
        "digest has an unused bit": entry(with_member(good, "digest", unused_bit(good["digest"]))),
        "signature: first bit": entry(with_member(good, "signature", flipped(good["signature"]))),
        "signature: an unused bit": entry(with_member(good, "signature", unused_bit(good["signature"]))),
        "signature: empty": entry(with_member(good, "signature", "")),
    }
    return {"positive": positive, "negative": [negative(reason, **fields) for reason, fields in cases.items()]}


def credentials():
    raws = {"zeros": bytes(32), "ones": b"\xff" * 32, "any": expand("credential", 32)}
    positive = [{"name": name, "secret": raw.hex(), "credential": p.make_credential(raw)} for name, raw in raws.items()]
    raw = raws["any"]
    good = p.make_credential(raw)
    data = p.b64_decode(good[4:])
    cases = {
        "wrong checksum": "spv_" + p.b64(data[:-1] + bytes([data[-1] ^ 1])),
        "another secret under the checksum": "spv_" + p.b64(bytes([data[0] ^ 1]) + data[1:]),
        "checksum of zeros": "spv_" + p.b64(raw + bytes(4)),
        "last bytes of the hash": "spv_" + p.b64(raw + p.sha256(raw)[-4:]),
        "no checksum": "spv_" + p.b64(raw),
        "checksum of 3 bytes": "spv_" + p.b64(data[:-1]),
        "checksum of 5 bytes": "spv_" + p.b64(raw + p.sha256(raw)[:5]),
        "31 bytes with their checksum": "spv_" + p.b64(raw[:31] + p.sha256(raw[:31])[:4]),
        "no prefix": good[4:],
        "another prefix": "crd_" + good[4:],
        "prefix in capitals": "SPV_" + good[4:],
        "minus for underscore": "spv-" + good[4:],
        "padded": good + "=",
        "a space before": " " + good,
        "a newline after": good + "\n",
        "the other base64 alphabet": "spv_" + p.base64(b"\xff" * 32 + p.sha256(b"\xff" * 32)[:4]),
        "hexadecimal": "spv_" + data.hex(),
        "empty": "",
        "prefix alone": "spv_",
    }
    return {
        "positive": positive,
        "negative": [negative(reason, credential=text) for reason, text in cases.items()],
    }


def files():
    return {
        "jwk": ("Public keys and thumbprints (section 1).", jwks()),
        "statement": ("Key statements (section 2).", statements()),
        "feed": ("Feed states (section 6).", feeds()),
        "receipt": ("Receipts (section 7).", receipts()),
        "credential": ("Service credentials (section 9).", credentials()),
    }
