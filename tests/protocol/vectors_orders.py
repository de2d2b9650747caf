"""Vectors of sections 6 and 7: commands, events, revocation."""

import json

import splitvault_protocol as p
from fixtures import expand, pkcs8
from jws_attacks import claim_attacks, header_attacks
from token_parts import (
    CLIENT,
    CONTEXT,
    ISSUER,
    JTI,
    OTHER_ISSUER,
    OTHER_SIGNING,
    SIGNING,
    SUBJECT,
    claims_of,
    sealed,
    sign,
)
from vectors_documents import (
    ENVIRONMENT_ID,
    MANAGER_ID,
    MANAGER_IDENTITY,
    NOW,
    OTHER_VAULT_ID,
    SECRET_ID,
    VAULT_ID,
    VAULT_IDENTITY,
    text_of,
    unused_bit,
)
from vectors_envelope import negative

BODY = b'{"after":0,"limit":256}'


def commands():
    def claims_for(**changes):
        claims = {"iss": ISSUER, "aud": VAULT_ID, "iat": NOW, "nbf": NOW, "exp": NOW + 60, "jti": JTI, "op": "replay"}
        return {**claims, "body": p.b64(p.sha256(BODY)), **changes}

    def make(claims):
        text = claims if isinstance(claims, str) else text_of(claims)
        return p.sign_jws("command", MANAGER_IDENTITY, text.encode())

    positive = [
        {"name": f"operation {op}", "command": make(claims_for(op=op)), "op": op, "body": BODY.hex()}
        for op in p.OPERATIONS
    ]
    for name, claims in {
        "30 s ahead": claims_for(iat=NOW + 30, nbf=NOW + 30, exp=NOW + 90),
        "last second": claims_for(iat=NOW - 59, nbf=NOW - 59, exp=NOW + 1),
    }.items():
        positive.append({"name": name, "command": make(claims), "op": "replay", "body": BODY.hex()})
    empty = make(claims_for(op="poll", body=p.b64(p.sha256(b""))))
    positive.append({"name": "empty body", "command": empty, "op": "poll", "body": ""})

    good = claims_for()
    negatives = []

    def refuse(reason, command, body=BODY):
        negatives.append(negative(reason, command=command, body=body.hex()))

    for reason, command in header_attacks(good, make, MANAGER_IDENTITY, "command+jwt", "EdDSA", "secevent+jwt"):
        refuse(reason, command)
    for reason, command in claim_attacks(good, make, ("iat", "nbf", "exp"), ("iat", "nbf", "exp")):
        refuse(reason, command)
    for reason, changes in {
        "another issuer": {"iss": OTHER_ISSUER},
        "another mode": {"iss": p.issuer_of("development", MANAGER_ID)},
        "another vault": {"aud": OTHER_VAULT_ID},
        "expired this second": {"iat": NOW - 60, "nbf": NOW - 60, "exp": NOW},
        "expired by one second": {"iat": NOW - 61, "nbf": NOW - 61, "exp": NOW - 1},
        "life of 61 s": {"exp": NOW + 61},
        "iat 31 s ahead": {"iat": NOW + 31, "exp": NOW + 91},
        "nbf 31 s ahead": {"nbf": NOW + 31},
        "exp is iat": {"iat": NOW + 20, "exp": NOW + 20},
        "exp before iat": {"iat": NOW + 20, "exp": NOW + 10},
        "exp is nbf": {"nbf": NOW + 20, "exp": NOW + 20},
        "an unknown operation": {"op": "destroy"},
        "operation in capitals": {"op": "REPLAY"},
        "empty operation": {"op": ""},
        "jti of 21 characters": {"jti": JTI[:-1]},
        "jti has an unused bit": {"jti": unused_bit(JTI)},
        "hash of 31 bytes": {"body": p.b64(bytes(31))},
        "hash has an unused bit": {"body": unused_bit(good["body"])},
        "hash in hexadecimal": {"body": p.sha256(BODY).hex()},
        "hash of another body": {"body": p.b64(p.sha256(b"{}"))},
        "seq of an event": {"seq": 1},
    }.items():
        refuse(reason, make({**good, **changes}))
    refuse("another body", make(good), BODY + b" ")
    refuse("no body", make(good), b"")
    refuse("signed by the vault", p.sign_jws("command", VAULT_IDENTITY, good))
    event = p.make_event(MANAGER_IDENTITY, ISSUER, VAULT_ID, NOW, JTI, 1, p.ZERO_HASH, "all", {})
    refuse("an event", event)
    refuse("an access token", sign(sealed(claims_of())))
    refuse("too long", make(text_of(good) + " " * 2_000))
    return {
        "context": {**CONTEXT, "manager_identity_private": pkcs8(MANAGER_IDENTITY).hex()},
        "positive": positive,
        "negative": negatives,
    }


EVENTS = [
    ("token", {"jti": JTI}),
    ("subject", {"sub": SUBJECT}),
    ("subject", {"sub": "svc" + SUBJECT[3:]}),
    ("credential", {"client_id": CLIENT}),
    ("secret", {"secret_id": SECRET_ID}),
    ("version", {"secret_id": SECRET_ID, "version": 3}),
    ("signing-key", {"kid": p.kid_of(OTHER_SIGNING.public_key())}),
    ("all", {}),
    ("destroy", {"environment": ENVIRONMENT_ID, "secret_id": SECRET_ID, "version": 9}),
]
# Kinds that came later. They are not in the chain, whose bytes stay as they are.
LATER_EVENTS = [("environment", {"environment": ENVIRONMENT_ID})]


def chain_of(events, start=NOW - 1_000):
    chain, prev = [], p.ZERO_HASH
    for seq, (kind, payload) in enumerate(events, 1):
        jti = p.b64(expand(f"event {seq}", 16))
        chain.append(p.make_event(MANAGER_IDENTITY, ISSUER, VAULT_ID, start + seq, jti, seq, prev, kind, payload))
        prev = p.event_hash(chain[-1])
    return chain


def events():
    chain = chain_of(EVENTS)
    positive = []
    for seq, (compact, (kind, payload)) in enumerate(zip(chain, EVENTS, strict=True), 1):
        prev = p.event_hash(chain[seq - 2]) if seq > 1 else p.ZERO_HASH
        entry = {"name": f"{seq}: {kind}", "event": compact, "seq": seq, "kind": kind, "payload": payload}
        positive.append({**entry, "prev": prev.hex(), "hash": p.event_hash(compact).hex()})
    head = p.event_hash(chain[-1])
    number = len(chain) + 1

    def claims_for(**changes):
        claims = {"iss": ISSUER, "aud": VAULT_ID, "iat": NOW, "jti": JTI, "seq": number, "prev": p.b64(head)}
        return {**claims, "events": {"urn:splitvault:event:all": {}}, **changes}

    def make(claims):
        text = claims if isinstance(claims, str) else text_of(claims)
        return p.sign_jws("event", MANAGER_IDENTITY, text.encode())

    def of(name, payload):
        return make(claims_for(events={name: payload}))

    ahead = make(claims_for(iat=NOW + 86400))
    positive.append(
        {"name": f"{number}: a day ahead", "event": ahead, "seq": number, "kind": "all", "payload": {}}
        | {"prev": head.hex(), "hash": p.event_hash(ahead).hex()}
    )
    for kind, payload in LATER_EVENTS:
        later = make(claims_for(events={"urn:splitvault:event:" + kind: payload}))
        positive.append(
            {"name": f"{number}: {kind}", "event": later, "seq": number, "kind": kind, "payload": payload}
            | {"prev": head.hex(), "hash": p.event_hash(later).hex()}
        )
    good = claims_for()
    negatives = []

    def refuse(reason, event, code="token_invalid"):
        negatives.append(negative(reason, event=event, code=code))

    for reason, event in header_attacks(good, make, MANAGER_IDENTITY, "secevent+jwt", "EdDSA", "command+jwt"):
        refuse(reason, event)
    for reason, event in claim_attacks(good, make, ("iat", "seq"), ("iat", "seq")):
        refuse(reason, event)
    prefix = "urn:splitvault:event:"
    for reason, changes in {
        "another issuer": {"iss": OTHER_ISSUER},
        "another vault": {"aud": OTHER_VAULT_ID},
        "seq 0": {"seq": 0},
        "prev of 31 bytes": {"prev": p.b64(head[:-1])},
        "prev has an unused bit": {"prev": unused_bit(p.b64(head))},
        "jti of 23 characters": {"jti": JTI + "A"},
        "exp of a command": {"exp": NOW + 60},
        "no event": {"events": {}},
        "two events": {"events": {prefix + "all": {}, prefix + "token": {"jti": JTI}}},
        "an unknown kind": {"events": {prefix + "everything": {}}},
        "kind in capitals": {"events": {prefix + "ALL": {}}},
        "kind without its prefix": {"events": {"all": {}}},
        "kind of RFC 8417": {"events": {"https://schemas.openid.net/secevent/risc/event-type/account-disabled": {}}},
        "empty kind": {"events": {prefix: {}}},
    }.items():
        refuse(reason, make({**good, **changes}))
    for kind, payload in dict(EVENTS + LATER_EVENTS).items():
        refuse(f"{kind}: an unknown member", of(prefix + kind, {**payload, "note": ""}))
        refuse(f"{kind}: payload is null", of(prefix + kind, None))
        refuse(f"{kind}: payload is an array of its values", of(prefix + kind, list(payload.values())))
        foreign = "sub" if kind == "token" else "jti"
        refuse(f"{kind}: a member of another kind, null", of(prefix + kind, {**payload, foreign: None}))
        refuse(f"{kind}: payload is an array", of(prefix + kind, [payload]))
        for name, value in payload.items():
            refuse(f"{kind}: {name} is missing", of(prefix + kind, {k: v for k, v in payload.items() if k != name}))
            refuse(f"{kind}: {name} is null", of(prefix + kind, {**payload, name: None}))
            if isinstance(value, str):
                refuse(f"{kind}: {name} has a character more", of(prefix + kind, {**payload, name: value + "A"}))
                refuse(f"{kind}: {name} has a character less", of(prefix + kind, {**payload, name: value[:-1]}))
            else:
                refuse(f"{kind}: {name} is 0", of(prefix + kind, {**payload, name: 0}))
                refuse(f"{kind}: {name} is text", of(prefix + kind, {**payload, name: str(value)}))
            twice = json.dumps({name: value})[1:-1]
            text = text_of(claims_for(events={prefix + kind: payload})).replace(
                "{" + f'"{name}"', "{" + twice + "," + f'"{name}"'
            )
            if text.count(f'"{name}"') > 1 + (name in good):
                refuse(f"{kind}: {name} is given twice", make(text))
    refuse("secret: a bare id", of(prefix + "secret", {"secret_id": SECRET_ID[4:]}))
    refuse("secret: an environment's id", of(prefix + "secret", {"secret_id": ENVIRONMENT_ID}))
    refuse("environment: a secret's id", of(prefix + "environment", {"environment": SECRET_ID}))
    refuse("subject: a credential's id", of(prefix + "subject", {"sub": CLIENT}))
    refuse("credential: a service's id", of(prefix + "credential", {"client_id": "svc" + CLIENT[3:]}))
    refuse("signed by the vault", p.sign_jws("event", VAULT_IDENTITY, good))
    refuse("a command", p.make_command(MANAGER_IDENTITY, ISSUER, VAULT_ID, NOW, NOW + 60, JTI, "push", BODY))
    refuse("too long", make(text_of(good) + " " * 2_000))
    refuse("a number too far", make(claims_for(seq=number + 1)), "event_gap")
    refuse("a number far too far", make(claims_for(seq=p.MAX_INTEGER)), "event_gap")
    refuse("prev of the event before", make(claims_for(prev=p.b64(p.event_hash(chain[-2])))), "event_conflict")
    refuse("prev of no event", make(claims_for(prev=p.b64(p.ZERO_HASH))), "event_conflict")
    refuse("a known number with other bytes", make(claims_for(seq=number - 1)), "event_conflict")
    first = claims_for(seq=1, prev=p.b64(p.ZERO_HASH))
    refuse("the first number with other bytes", make(first), "event_conflict")
    same = p.parse_json(p.b64_decode(chain[0].split(".")[1]))
    refuse("a known event, written with white space", make(text_of(same) + " "), "event_conflict")
    return {"context": {**CONTEXT, "applied": len(chain)}, "positive": positive, "negative": negatives}


def revocations():
    """Which tokens an event hits. Every entry is one event numbered 1 … after `before` events that hit nothing."""
    kid, other_kid = (p.kid_of(key.public_key()) for key in (SIGNING, OTHER_SIGNING))
    unrelated = ("token", {"jti": p.b64(expand("unrelated", 16))})
    token = {"kid": kid, "jti": JTI, "sub": SUBJECT, "client_id": CLIENT, "env": ENVIRONMENT_ID[4:]}
    asked = {"secret": SECRET_ID, "version": 1}
    hits, misses = [], []

    def case(name, event, hit, rseq=0, before=0, code=None, **token_changes):
        grant = {**asked, **{k: token_changes.pop(k) for k in list(token_changes) if k in asked}}
        chain = chain_of([unrelated] * before + ([event] if event else []))
        entry = {"name": name, "events": chain, "token": {**token, "rseq": rseq, **token_changes}, "asked": grant}
        if hit:
            hits.append(negative(name, **entry, code=code or "token_invalid"))
        else:
            misses.append(entry)

    other = p.b64(expand("someone else", 16))
    matches = [
        ("token", {"jti": JTI}, {"jti": other}),
        ("subject", {"sub": SUBJECT}, {"sub": "usr_" + other}),
        ("credential", {"client_id": CLIENT}, {"client_id": "crd_" + other}),
        ("environment", {"environment": ENVIRONMENT_ID}, {"env": other}),
        ("secret", {"secret_id": SECRET_ID}, {"secret": "sec_" + other}),
        ("version", {"secret_id": SECRET_ID, "version": 1}, {"version": 2}),
        ("all", {}, None),
    ]
    for kind, payload, miss in matches:
        case(f"{kind}: rseq below", (kind, payload), True)
        case(f"{kind}: rseq just below", (kind, payload), True, rseq=3, before=3)
        case(f"{kind}: rseq is the number", (kind, payload), False, rseq=4, before=3)
        if miss:
            case(f"{kind}: another", (kind, payload), False, **miss)
    case(
        "version: the same number of another secret",
        ("version", {"secret_id": SECRET_ID, "version": 1}),
        False,
        secret="sec_" + other,
    )
    case("subject: the same bytes, another prefix", ("subject", {"sub": SUBJECT}), False, sub="svc" + SUBJECT[3:])
    case("signing-key: rseq below", ("signing-key", {"kid": kid}), True)
    case("signing-key: whatever the rseq", ("signing-key", {"kid": kid}), True, rseq=4, before=3)
    case("signing-key: another", ("signing-key", {"kid": other_kid}), False)
    destroy = ("destroy", {"environment": ENVIRONMENT_ID, "secret_id": SECRET_ID, "version": 1})
    case("destroy: rseq below", destroy, True)
    case("destroy: whatever the rseq", destroy, True, rseq=4, before=3)
    case("destroy: another version", destroy, False, version=2)
    case("destroy: another secret", destroy, False, secret="sec_" + other)
    case("no event", None, False)
    case("rseq above the number applied", None, True, rseq=1, code="revocations_behind")
    case("rseq far above the number applied", unrelated, True, rseq=p.MAX_INTEGER, code="revocations_behind")
    return {"context": CONTEXT, "positive": misses, "negative": hits}


def files():
    return {
        "command": ("Commands (sections 4 and 7).", commands()),
        "event": (
            "Events, one chain; those under negative come when the first `applied` are applied (section 6).",
            events(),
        ),
        "revocation": ("What events hit (section 6): positive tokens may be read, negative ones not.", revocations()),
    }
