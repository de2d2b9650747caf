"""Vectors of key rotation: retirements (section 7) and fingerprints of symmetric keys (section 2)."""

import splitvault_protocol as p
from fixtures import expand
from vectors_documents import (
    ENVIRONMENT_ID,
    NOW,
    OTHER_ENVIRONMENT_ID,
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
from vectors_envelope import negative


def retirements():
    pin = p.jwk_of(VAULT_IDENTITY.public_key())

    def make(identity=VAULT_IDENTITY, vault=VAULT_ID, environment=ENVIRONMENT_ID, epoch=2, rows=7):
        return p.make_retirement(identity, vault, environment, epoch, rows, NOW)

    def entry(document, vault=VAULT_ID):
        text = document if isinstance(document, str) else text_of(document)
        return {"vault": vault, "identity": pin, "text": text}

    def signed(label="retirement", tail=(), **changes):
        """A retirement that says what the library would not sign."""
        document = {**good, **changes}
        ids = (p.b64_decode(document[name][4:]) for name in ("vault", "environment"))
        numbers = p.u32(document["epoch"] % 2**32), p.u64(document["rows"]), p.u64(document["time"])
        message = p.lp(f"splitvault/1/{label}", *ids, *numbers, *tail)
        return entry({**document, "signature": p.b64(VAULT_IDENTITY.sign(message))})

    good = make()
    positive = [
        {"name": name, **entry(document)}
        for name, document in (
            ("seven rows", good),
            ("no row", make(rows=0)),
            ("first epoch", make(epoch=1)),
            ("greatest epoch and count", make(epoch=p.MAX_EPOCH, rows=p.MAX_INTEGER)),
        )
    ]
    cases = {reason: entry(text) for reason, text in member_faults(good, numbers=("epoch", "rows", "time"))}
    cases |= {
        "another vault was asked": entry(good, vault=OTHER_VAULT_ID),
        "vault changed after signing": entry(with_member(good, "vault", OTHER_VAULT_ID), vault=OTHER_VAULT_ID),
        "environment changed after signing": entry(with_member(good, "environment", OTHER_ENVIRONMENT_ID)),
        "epoch changed after signing": entry(with_member(good, "epoch", 3)),
        "rows changed after signing": entry(with_member(good, "rows", 8)),
        "time changed after signing": entry(with_member(good, "time", NOW + 1)),
        "signed by a stranger": entry(make(identity=STRANGER)),
        "signed by a stranger under the pinned kid": entry({**make(identity=STRANGER), "kid": good["kid"]}),
        "epoch 0": signed(epoch=0),
        "epoch 2^32": signed(epoch=2**32),
        "signed under the label of another document": signed("receipt"),
        "signed with a part more": signed(tail=(b"",)),
        "environment has another prefix": entry(with_member(good, "environment", "sec" + ENVIRONMENT_ID[3:])),
        "signature: first bit": entry(with_member(good, "signature", flipped(good["signature"]))),
        "signature: an unused bit": entry(with_member(good, "signature", unused_bit(good["signature"]))),
        "signature: empty": entry(with_member(good, "signature", "")),
    }
    return {"positive": positive, "negative": [negative(reason, **fields) for reason, fields in cases.items()]}


def fingerprints():
    keys = {"zeros": bytes(32), "ones": b"\xff" * 32, "any": expand("storage key", 32)}
    positive = [{"name": name, "key": key.hex(), "fingerprint": p.fingerprint(key)} for name, key in keys.items()]
    key = keys["any"]
    cases = {
        "the key itself": p.b64(key)[:16],
        "a bare hash of the key": p.b64(p.sha256(key))[:16],
        "the label with an empty part": p.b64(p.derive(key, "fingerprint", b""))[:16],
        "15 characters": p.fingerprint(key)[:15],
        "17 characters": p.b64(p.derive(key, "fingerprint"))[:17],
        "hexadecimal": p.derive(key, "fingerprint").hex()[:16],
    }
    negatives = [negative(reason, key=key.hex(), fingerprint=text) for reason, text in cases.items()]
    return {"positive": positive, "negative": negatives}


def files():
    return {
        "retirement": ("Retirements of root key epochs (section 7).", retirements()),
        "fingerprint": (
            "Fingerprints of symmetric keys (section 2). Those under negative must not come out.",
            fingerprints(),
        ),
    }
