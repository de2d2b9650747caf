"""Vectors of value fingerprints (section 3) and of comparisons (section 7)."""

import splitvault_protocol as p
from fixtures import expand
from vectors_documents import (
    NOW,
    OTHER_VAULT_ID,
    STRANGER,
    VAULT_ID,
    VAULT_IDENTITY,
    flipped,
    member_faults,
    text_of,
    unused_bit,
    with_member,
)
from vectors_envelope import (
    ENVIRONMENT,
    OTHER_ENVIRONMENT,
    OTHER_SECRET,
    OTHER_VAULT,
    SECRET,
    VAULT,
    negative,
    value_fields,
)

KEY, OTHER_KEY = (p.fingerprint_key(expand(name, 32)) for name in ("credential hmac key", "another hmac key"))
STORAGE, TRANSFER = expand("storage key", 32), expand("transfer key", 32)
PLACE = (VAULT, ENVIRONMENT, SECRET, 1)


def place_fields(vault, environment, secret, version):
    ids = {"vault": ("vlt", vault), "environment": ("env", environment), "secret": ("sec", secret)}
    return {name: p.format_id(*parts) for name, parts in ids.items()} | {"version": version}


def wrapped(fingerprint, place=PLACE, key=KEY, storage=STORAGE):
    """Any fingerprint in the form of one at rest."""
    return p.aes_wrap(storage, p.aes_wrap(p.binding_key(key, p.header(*place)), fingerprint))


def value_fingerprints():
    positive = []
    for name, place, kind, length in (
        ("a text", PLACE, p.TEXT, 7),
        ("the same text of another secret", (VAULT, ENVIRONMENT, OTHER_SECRET, 1), p.TEXT, 7),
        ("the same text as another version", (VAULT, ENVIRONMENT, SECRET, p.MAX_INTEGER), p.TEXT, 7),
        ("the same text in another environment", (VAULT, OTHER_ENVIRONMENT, SECRET, 1), p.TEXT, 7),
        ("the same text for another vault", (OTHER_VAULT, ENVIRONMENT, SECRET, 1), p.TEXT, 7),
        ("bytes", PLACE, p.BYTES, 32),
        ("an empty text", PLACE, p.TEXT, 0),
        ("no bytes", PLACE, p.BYTES, 0),
        ("the longest value", PLACE, p.BYTES, p.MAX_VALUE),
    ):
        value, fields = value_fields(kind, length, "fingerprint of a value")
        bound = p.bound_fingerprint(KEY, *place, kind, value)
        binding = p.binding_key(KEY, p.header(*place))
        pieces = {
            "fingerprint_key": KEY,
            "storage_key": STORAGE,
            "transfer_key": TRANSFER,
            "fingerprint": p.value_fingerprint(KEY, place[1], kind, value),
            "binding_key": binding,
            "bound": bound,
            "moved": p.aes_wrap(TRANSFER, bound),
            "moved_binding_key": p.aes_wrap(TRANSFER, binding),
            "stored": p.aes_wrap(STORAGE, bound),
        }
        hexes = {piece: data.hex() for piece, data in pieces.items()}
        positive.append({"name": name, **place_fields(*place), **fields, **hexes})
    value, fields = value_fields(p.TEXT, 7, "fingerprint of a value")
    good = p.value_fingerprint(KEY, ENVIRONMENT, p.TEXT, value)
    hash_key = p.derive(KEY, "fingerprint-hash", ENVIRONMENT)
    stored = wrapped(good)
    assert stored.hex() == positive[0]["stored"]

    def hmac_of(key, data):
        return p.hmac.digest(key, data, "sha256")

    cases = {
        "of another version": wrapped(good, (VAULT, ENVIRONMENT, SECRET, 2)),
        "of another secret": wrapped(good, (VAULT, ENVIRONMENT, OTHER_SECRET, 1)),
        "of another environment": wrapped(good, (VAULT, OTHER_ENVIRONMENT, SECRET, 1)),
        "of another vault": wrapped(good, (OTHER_VAULT, ENVIRONMENT, SECRET, 1)),
        "bound under another fingerprint key": wrapped(good, key=OTHER_KEY),
        "under another storage key": wrapped(good, storage=expand("other storage key", 32)),
        "hashed under another fingerprint key": wrapped(p.value_fingerprint(OTHER_KEY, ENVIRONMENT, p.TEXT, value)),
        "hashed for another environment": wrapped(p.value_fingerprint(KEY, OTHER_ENVIRONMENT, p.TEXT, value)),
        "of the same bytes that are no text": wrapped(p.value_fingerprint(KEY, ENVIRONMENT, p.BYTES, value)),
        "of a value with a byte more": wrapped(p.value_fingerprint(KEY, ENVIRONMENT, p.TEXT, value + b"0")),
        "of a value with a byte less": wrapped(p.value_fingerprint(KEY, ENVIRONMENT, p.TEXT, value[:-1])),
        "of the value without its kind": wrapped(hmac_of(hash_key, value)),
        "of the frame": wrapped(hmac_of(hash_key, p.make_frame(p.TEXT, value))),
        "of LP of kind and value": wrapped(hmac_of(hash_key, p.lp(b"\0", value))),
        "hashed with the fingerprint key itself": wrapped(hmac_of(KEY, b"\0" + value)),
        "a bare hash": wrapped(p.sha256(b"\0" + value)),
        "of zeros": wrapped(bytes(32)),
        "bound by the fingerprint key itself": p.aes_wrap(STORAGE, p.aes_wrap(KEY, good)),
        "not bound": p.aes_wrap(STORAGE, good + bytes(8)),
        "the first bit changed": bytes([stored[0] ^ 0x80]) + stored[1:],
        "the last bit changed": stored[:-1] + bytes([stored[-1] ^ 1]),
        "zeros": bytes(48),
    }
    inputs = {"fingerprint_key": KEY.hex(), "storage_key": STORAGE.hex()}
    negatives = [
        negative(reason, **place_fields(*PLACE), **fields, **inputs, stored=data.hex())
        for reason, data in cases.items()
    ]
    return {"positive": positive, "negative": negatives}


def comparisons():
    pin = p.jwk_of(VAULT_IDENTITY.public_key())
    nonce, other_nonce = expand("comparison nonce", 16), expand("another comparison nonce", 16)

    def make(results, identity=VAULT_IDENTITY, vault=VAULT_ID, nonce=nonce):
        return p.make_comparison(identity, vault, nonce, results, NOW)

    def entry(document, count=2, vault=VAULT_ID, nonce=nonce):
        text = document if isinstance(document, str) else text_of(document)
        return {"vault": vault, "nonce": p.b64(nonce), "count": count, "identity": pin, "text": text}

    def signed(message):
        """A comparison whose message is not what the library would sign."""
        return entry({**good, "signature": p.b64(VAULT_IDENTITY.sign(message))})

    good = make(["same", "different"])
    positive = [
        {"name": name, **entry(make(results), len(results)), "results": results}
        for name, results in (
            ("the same and another", ["same", "different"]),
            ("unknown", ["unknown"]),
            ("a hundred", ["different"] * 99 + ["same"]),
        )
    ]
    parts = VAULT_ID, nonce, ("same", "different")
    vault, time = p.parse_id(parts[0], "vlt"), p.u64(NOW)
    cases = {reason: entry(text) for reason, text in member_faults(good, numbers=("time",))}
    cases |= {
        "another vault was asked": entry(good, vault=OTHER_VAULT_ID),
        "vault changed after signing": entry(with_member(good, "vault", OTHER_VAULT_ID), vault=OTHER_VAULT_ID),
        "the nonce of another request": entry(good, nonce=other_nonce),
        "nonce changed after signing": entry(with_member(good, "nonce", p.b64(other_nonce)), nonce=other_nonce),
        "a result changed after signing": entry(with_member(good, "results", ["same", "same"])),
        "results exchanged after signing": entry(with_member(good, "results", ["different", "same"])),
        "time changed after signing": entry(with_member(good, "time", NOW + 1)),
        "a result too few": entry(make(["same"])),
        "a result too many": entry(make(["same", "different", "same"])),
        "no result": entry(make([])),
        "another word": entry(with_member(good, "results", ["same", "equal"])),
        "a word in capitals": entry(with_member(good, "results", ["SAME", "different"])),
        "a truth value": entry(with_member(good, "results", [True, False])),
        "results in an object": entry(with_member(good, "results", {"0": "same", "1": "different"})),
        "signed by a stranger": entry(make(["same", "different"], identity=STRANGER)),
        "signed by a stranger under the pinned kid": entry(
            {**make(["same", "different"], identity=STRANGER), "kid": good["kid"]}
        ),
        "signed under the label of another document": signed(
            p.lp("splitvault/1/feed", vault, nonce, p.lp("same", "different"), time)
        ),
        "signed with the words run together": signed(
            p.lp("splitvault/1/comparison", vault, nonce, "samedifferent", time)
        ),
        "signed with each word as a part": signed(
            p.lp("splitvault/1/comparison", vault, nonce, "same", "different", time)
        ),
        "signature: first bit": entry(with_member(good, "signature", flipped(good["signature"]))),
        "signature: an unused bit": entry(with_member(good, "signature", unused_bit(good["signature"]))),
        "signature: empty": entry(with_member(good, "signature", "")),
    }
    return {"positive": positive, "negative": [negative(reason, **fields) for reason, fields in cases.items()]}


def files():
    return {
        "value_fingerprint": (
            "Value fingerprints (section 3). What is under negative must not pass for the fingerprint of that value "
            "in that envelope.",
            value_fingerprints(),
        ),
        "comparison": ("Comparisons of value fingerprints (section 7).", comparisons()),
    }
