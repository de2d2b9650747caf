"""Vectors of section 5: access tokens and their info."""

import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import splitvault_protocol as p
from fixtures import expand, pkcs8, x25519_key
from jws_attacks import claim_attacks, header_attacks
from token_parts import (
    CLIENT,
    CONTENT_KEY,
    CONTEXT,
    DEAD_SEAL,
    ISSUER,
    JTI,
    OTHER_ISSUER,
    OTHER_SIGNING,
    SEAL,
    SEALS,
    SIGNING,
    SUBJECT,
    claims_of,
    release_keys,
    sealed,
    sign,
)
from vectors_documents import (
    ENVIRONMENT_ID,
    MANAGER_ID,
    MANAGER_IDENTITY,
    NOW,
    OTHER_ENVIRONMENT_ID,
    OTHER_SECRET_ID,
    OTHER_VAULT_ID,
    SECRET_ID,
    STRANGER,
    VAULT_ID,
    VAULT_IDENTITY,
    flipped,
    text_of,
    unused_bit,
)
from vectors_envelope import negative


def good_access_tokens():
    many = [[p.b64(expand(f"secret {number}", 16)), number + 1] for number in range(64)]
    one = [[SECRET_ID[4:], 1]]
    cases = {
        "two grants": claims_of(),
        "one grant": claims_of(grants=one),
        "64 grants": claims_of(grants=many),
        "greatest version": claims_of(grants=[[SECRET_ID[4:], p.MAX_INTEGER]]),
        "rseq 0": claims_of(rseq=0),
        "greatest rseq": claims_of(rseq=p.MAX_INTEGER),
        "subject is a service": claims_of(sub="svc" + SUBJECT[3:]),
        "longest life": claims_of(exp=NOW + 2_700),
        "last second": claims_of(iat=NOW - 2_699, nbf=NOW - 2_699, exp=NOW + 1),
        "30 s ahead": claims_of(iat=NOW + 30, nbf=NOW + 30),
        "nbf before iat": claims_of(nbf=NOW - 60),
        "development": claims_of(iss=p.issuer_of("development", MANAGER_ID)),
    }
    for name, claims in cases.items():
        token = sign(sealed(claims))
        yield name, claims, token, {"issuer": claims["iss"]} if claims["iss"] != ISSUER else {}
    base = claims_of()
    yield "the second seal is ours", base, sign(sealed(base, (DEAD_SEAL, SEAL))), {}
    yield "eight seals", base, sign(sealed(base, SEALS[7::-1])), {}
    yield "the other signing key", base, sign(sealed(base), OTHER_SIGNING), {}
    claims = sealed(base)
    backwards = {name: claims[name] for name in reversed(claims)}
    yield "claims in another order", base, sign(backwards), {}
    spaced = json.dumps(claims, indent=1)
    yield "claims with white space", base, sign(spaced), {}
    head = {"kid": p.kid_of(SIGNING.public_key()), "typ": "at+jwt", "alg": "RS256"}
    yield "header in another order", base, p.sign_raw(SIGNING, p.compact_json(head), p.compact_json(claims)), {}


INFO_CHANGES = {
    "iss": {"iss": OTHER_ISSUER},
    "aud": {"aud": OTHER_VAULT_ID},
    "sub": {"sub": "usr_" + p.b64(expand("other subject", 16))},
    "sub prefix": {"sub": "svc" + SUBJECT[3:]},
    "client_id": {"client_id": "crd_" + p.b64(expand("other client", 16))},
    "jti": {"jti": p.b64(expand("other jti", 16))},
    "iat": {"iat": NOW - 1},
    "exp": {"exp": NOW + 901},
    "rseq": {"rseq": 6},
    "env": {"env": OTHER_ENVIRONMENT_ID[4:]},
    "secret": {"grants": [[p.b64(expand("third secret", 16)), 1], [OTHER_SECRET_ID[4:], 7]]},
    "version": {"grants": [[SECRET_ID[4:], 2], [OTHER_SECRET_ID[4:], 7]]},
    "order of grants": {"grants": [[OTHER_SECRET_ID[4:], 7], [SECRET_ID[4:], 1]]},
}


def binding_attacks():
    """(reason, token, changes of the context): signed as it should be, bound to other claims."""
    base = claims_of()
    for name, change in INFO_CHANGES.items():
        changed = {**base, **change}
        asked = {"issuer": changed["iss"], "vault": changed["aud"]} if name in ("iss", "aud") else {}
        bound = sealed(base)
        yield f"{name} signed anew, seals bound to the old", sign({**bound, **change}), asked
        yield f"{name} bound anew, the old signed", sign({**sealed(changed), **base}), {}
        info_of_changed = sealed(changed)
        yield f"{name}: only rk bound to it", sign({**bound, "rk": info_of_changed["rk"]}), {}
        yield f"{name}: only seals bound to it", sign({**bound, "seals": info_of_changed["seals"]}), {}
    more = sealed(claims_of(grants=base["grants"] + [[p.b64(expand("third secret", 16)), 1]]))
    yield "rk of three grants, cut to two", sign({**sealed(base), "rk": p.b64(p.b64_decode(more["rk"])[:80])}), {}
    cnf = {"jkt": p.b64(expand("jkt", 32))}
    confirmed = sealed({**base, "cnf": cnf})
    yield "cnf bound anew, signed without", sign({**bound, "seals": confirmed["seals"], "rk": confirmed["rk"]}), {}
    claims = sealed(base)
    ((kid, seal),) = claims["seals"].items()
    raw = p.b64_decode(seal)
    for name, data in {
        "first bit of enc": p.b64_decode(flipped(seal)),
        "enc is zeros": bytes(32) + raw[32:],
        "enc is one": b"\x01" + bytes(31) + raw[32:],
        "first bit of ct": raw[:32] + bytes([raw[32] ^ 0x80]) + raw[33:],
        "last bit of ct": raw[:-1] + bytes([raw[-1] ^ 1]),
        "sealed with an aad": p.hpke_seal(SEAL.public_key(), p.token_info(base), CONTENT_KEY, x25519_key("e"), b"aad"),
        "sealed with no info": p.hpke_seal(SEAL.public_key(), b"", CONTENT_KEY, x25519_key("e")),
        "another content key": p.hpke_seal(SEAL.public_key(), p.token_info(base), bytes(32), x25519_key("e")),
        "sealed to another key": p.hpke_seal(DEAD_SEAL.public_key(), p.token_info(base), CONTENT_KEY, x25519_key("e")),
    }.items():
        yield f"seals: {name}", sign({**claims, "seals": {kid: p.b64(data)}}), {}
    yield "rk: first bit", sign({**claims, "rk": flipped(claims["rk"])}), {}
    rk = p.b64_decode(claims["rk"])
    yield "rk: last bit", sign({**claims, "rk": p.b64(rk[:-1] + bytes([rk[-1] ^ 1]))}), {}
    yield "rk: release keys exchanged", sign({**claims, "rk": p.b64(rk[32:64] + rk[:32] + rk[64:])}), {}


def bad_access_tokens():
    """(reason, token, changes of the context)"""
    base = claims_of()
    good = sealed(base)
    for reason, token in header_attacks(good, sign, SIGNING, "at+jwt", "RS256", "command+jwt"):
        yield reason, token, {}
    message = sign(good).rsplit(".", 1)[0].encode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 0)
    yield "signed with PSS", f"{message.decode()}.{p.b64(SIGNING.sign(message, pss, hashes.SHA256()))}", {}
    sha512 = SIGNING.sign(message, padding.PKCS1v15(), hashes.SHA512())
    yield "signed with SHA-512", f"{message.decode()}.{p.b64(sha512)}", {}
    identity = {"alg": "EdDSA", "typ": "at+jwt", "kid": p.kid_of(MANAGER_IDENTITY.public_key())}
    yield (
        "signed by the manager's identity key",
        p.sign_raw(MANAGER_IDENTITY, p.compact_json(identity), p.compact_json(good)),
        {},
    )
    yield (
        "signed by the vault's identity key",
        p.sign_raw(
            VAULT_IDENTITY,
            p.compact_json({**identity, "kid": p.kid_of(VAULT_IDENTITY.public_key())}),
            p.compact_json(good),
        ),
        {},
    )
    for reason, token in claim_attacks(good, sign, ("exp", "nbf", "iat", "rseq"), ("exp", "nbf", "iat", "rseq")):
        yield reason, token, {}

    # The claims that info binds are sealed anew, so that only the named fault is there.
    def fault(reason, asked=None, seals=(SEAL,), **changes):
        return reason, sign(sealed(claims_of(**changes), seals)), asked or {}

    yield fault("another issuer", iss=OTHER_ISSUER)
    yield fault("another mode", iss=p.issuer_of("development", MANAGER_ID))
    yield fault("issuer with a slash", iss=ISSUER + "/")
    yield fault("issuer is the bare id", iss=MANAGER_ID)
    yield fault("issuer in capitals", iss=ISSUER.upper())
    yield fault("empty issuer", iss="")
    yield fault("another vault", aud=OTHER_VAULT_ID)
    yield fault("audience is the manager", aud=MANAGER_ID)
    yield fault("empty audience", aud="")
    yield fault("audience with a space", aud=VAULT_ID + " ")
    yield fault("expired this second", {"now": NOW + 900})
    yield fault("expired by one second", {"now": NOW + 901})
    yield fault("expired by 30 seconds", {"now": NOW + 930})
    yield fault("life of 2701 s", exp=NOW + 2_701)
    yield fault("life of a day", exp=NOW + 86_400)
    yield fault("life of 2701 s, begun long ago", iat=NOW - 2_700, nbf=NOW - 2_700, exp=NOW + 1)
    yield fault("iat 31 s ahead", iat=NOW + 31)
    yield fault("nbf 31 s ahead", nbf=NOW + 31)
    yield fault("exp is iat", iat=NOW + 20, exp=NOW + 20)
    yield fault("exp before iat", iat=NOW + 20, exp=NOW + 10)
    yield fault("exp is nbf", nbf=NOW + 20, exp=NOW + 20)
    yield fault("exp before nbf", nbf=NOW + 20, exp=NOW + 10)
    yield fault("milliseconds", iat=NOW * 1_000, nbf=NOW * 1_000, exp=(NOW + 900) * 1_000)
    for name, good_id in (("sub", SUBJECT), ("client_id", CLIENT)):
        other = "crd" if name == "sub" else "svc"
        yield fault(f"{name} is a bare id", **{name: good_id[4:]})
        yield fault(f"{name} has the prefix {other}", **{name: other + good_id[3:]})
        yield fault(f"{name} has no known prefix", **{name: "abc" + good_id[3:]})
        yield fault(f"{name} is empty", **{name: ""})
        yield fault(f"{name} has an unused bit", **{name: unused_bit(good_id)})
        yield fault(f"{name} is too long", **{name: good_id + "A"})
    yield fault("sub is a manager", sub=MANAGER_ID)
    yield fault("sub is a name", sub="alice@example.com")
    yield fault("jti of 21 characters", jti=JTI[:-1])
    yield fault("jti of 23 characters", jti=JTI + "A")
    yield fault("jti is empty", jti="")
    yield fault("jti has an unused bit", jti=unused_bit(JTI))
    yield fault("jti in the other alphabet", jti="+/" + JTI[2:])
    yield "env with its prefix", sign({**good, "env": ENVIRONMENT_ID}), {}
    yield "env is empty", sign({**good, "env": ""}), {}
    yield "env has an unused bit", sign({**good, "env": unused_bit(good["env"])}), {}
    yield "env is a name", sign({**good, "env": "production"}), {}
    many = [[p.b64(expand(f"secret {number}", 16)), 1] for number in range(65)]
    yield fault("65 grants", grants=many)
    yield "no grants", sign({**good, "grants": [], "rk": p.b64(expand("tag", 16))}), {}
    secret = SECRET_ID[4:]
    yield fault("a secret granted twice", grants=[[secret, 1], [secret, 2]])
    yield fault("the same grant twice", grants=[[secret, 1], [secret, 1]])
    yield fault("a secret granted twice, not in a row", grants=[[secret, 1], [OTHER_SECRET_ID[4:], 1], [secret, 2]])
    yield fault("version 0", grants=[[secret, 0]])
    yield fault("version 2^53", grants=[[secret, 2**53]])
    one = sealed(claims_of(grants=[[secret, 1]]))
    for name, grant in {
        "version is text": [secret, "1"],
        "version is null": [secret, None],
        "version is true": [secret, True],
        "version is negative": [secret, -1],
        "no version": [secret],
        "three parts": [secret, 1, 1],
        "empty": [],
        "exchanged": [1, secret],
        "an object": {"secret": secret, "version": 1},
        "text": secret,
        "null": None,
        "secret with its prefix": [SECRET_ID, 1],
        "secret has an unused bit": [unused_bit(secret), 1],
        "secret is padded": [secret + "==", 1],
        "secret of 21 characters": [secret[:-1], 1],
        "secret is empty": ["", 1],
        "secret is a number": [1, 1],
        "secret is a wildcard": ["*", 1],
    }.items():
        yield f"grant: {name}", sign({**one, "grants": [grant]}), {}
    for literal in ("1.0", "1e0", "01"):
        yield (
            f"grant: version is {literal}",
            sign(text_of({**one, "grants": [[secret, 99]]}).replace("99]]", literal + "]]")),
            {},
        )
    yield "grants is an object", sign({**one, "grants": {secret: 1}}), {}

    ((kid, seal),) = good["seals"].items()
    raw = p.b64_decode(seal)
    for name, seals in {
        "none": {},
        "an array": [seal],
        "kid has an unused bit": {unused_bit(kid): seal},
        "kid is padded": {kid + "=": seal},
        "kid is empty": {"": seal},
        "another member is no kid": {kid: seal, "x": seal},
        "79 bytes": {kid: p.b64(raw[:-1])},
        "81 bytes": {kid: p.b64(raw + b"\0")},
        "empty": {kid: ""},
        "an unused bit": {kid: unused_bit(seal)},
        "padded": {kid: seal + "="},
        "a number": {kid: 1},
        "null": {kid: None},
        "an object": {kid: {"enc": seal}},
        "another member is too short": {kid: seal, p.kid_of(DEAD_SEAL.public_key()): "AAAA"},
    }.items():
        yield f"seals: {name}", sign({**good, "seals": seals}), {}
    twice = f'"seals":{{"{kid}":"{seal}",'
    yield "seals: the kid is given twice", sign(text_of(good).replace('"seals":{', twice)), {}
    first_wrong = f'"seals":{{"{kid}":"{p.b64(bytes(80))}",'
    yield "seals: the kid is given twice, first wrong", sign(text_of(good).replace('"seals":{', first_wrong)), {}
    yield fault("nine seals", seals=SEALS[::-1])
    rk = p.b64_decode(good["rk"])
    for name, value in {
        "of one grant": p.b64(rk[:48]),
        "of three grants": p.b64(rk + bytes(32)),
        "a byte short": p.b64(rk[:-1]),
        "a byte long": p.b64(rk + b"\0"),
        "empty": "",
        "an unused bit": unused_bit(p.b64(rk)),
        "padded": p.b64(rk) + "=" * (-len(p.b64(rk)) % 4),
        "an object": {"a": p.b64(rk)},
    }.items():
        yield f"rk: {name}", sign({**good, "rk": value}), {}
    jkt = p.b64(expand("jkt", 32))
    for name, cnf in {
        "empty": {},
        "jkt": {"jkt": jkt},
        "x5t#S256": {"x5t#S256": jkt},
        "both": {"jkt": jkt, "x5t#S256": jkt},
        "unknown member": {"jwk": p.jwk_of(STRANGER.public_key())},
        "jkt and an unknown member": {"jkt": jkt, "kid": "a"},
        "jkt is empty": {"jkt": ""},
        "jkt is short": {"jkt": jkt[:-1]},
        "jkt is a number": {"jkt": 1},
        "text": jkt,
        "null": None,
        "an array": [{"jkt": jkt}],
    }.items():
        bindable = name in ("jkt", "x5t#S256")
        claims = sealed({**base, "cnf": cnf}) if bindable else {**good, "cnf": cnf}
        yield f"cnf: {name}", sign(claims), {}
    yield "cnf: jkt, seals bound without it", sign({**good, "cnf": {"jkt": jkt}}), {}
    yield "cnf: jkt is given twice", sign(text_of(good)[:-1] + f',"cnf":{{"jkt":"{jkt}","jkt":"{jkt}"}}}}'), {}
    everything = claims_of(grants=many[:64])
    long = sign(sealed(everything, SEALS[:8]))
    assert len(long) > 8_000
    yield "64 grants and eight seals are too long", long, {}
    yield "too long by white space", sign(text_of(good) + " " * 6_000), {}
    yield "a NUL after", sign(good) + "\0", {}


def access_tokens():
    positive = []
    for name, claims, token, asked in good_access_tokens():
        rks = [rk.hex() for rk in release_keys(len(claims["grants"]))]
        kid = p.parse_json(p.b64_decode(token.split(".")[0]))["kid"]
        positive.append({"name": name, **asked, "token": token, "kid": kid, "claims": claims, "release_keys": rks})
    negatives = [
        negative(reason, **asked, stage="verify", code="token_invalid", token=token)
        for reason, token, asked in bad_access_tokens()
    ]
    negatives += [
        negative(f"binding: {reason}", **asked, stage="open", code="token_invalid", token=token)
        for reason, token, asked in binding_attacks()
    ]
    dead = sign(sealed(claims_of(), (DEAD_SEAL, SEALS[2])))
    reason = "no named seal key is alive"
    negatives.append(negative(reason, stage="open", code="seal_key_unknown", token=dead))
    context = {**CONTEXT, "content_key": CONTENT_KEY.hex(), "token_signing_private_key": pkcs8(SIGNING).hex()}
    return {"context": context, "positive": positive, "negative": negatives}


def token_infos():
    jkt = p.b64(expand("jkt", 32))
    cases = {"no confirmation": claims_of(), "one grant": claims_of(grants=[[SECRET_ID[4:], 1]])}
    cases |= {f"{name} changed": claims_of(**change) for name, change in INFO_CHANGES.items()}
    cases |= {"jkt": claims_of(cnf={"jkt": jkt}), "x5t#S256": claims_of(cnf={"x5t#S256": jkt})}
    positive = [{"name": name, "claims": claims, "info": p.token_info(claims).hex()} for name, claims in cases.items()]
    wrong = {
        "the confirmation without its name": p.token_info(cases["jkt"]).replace(b"jkt:", b""),
        "another confirmation": p.token_info(cases["x5t#S256"]),
        "no confirmation": p.token_info(cases["no confirmation"]),
    }
    negatives = [
        negative(reason, name=f"info of jkt is not: {reason}", claims=cases["jkt"], info=info.hex())
        for reason, info in wrong.items()
    ]
    return {"positive": positive, "negative": negatives}


def files():
    return {
        "token_info": ("info of access tokens (section 5).", token_infos()),
        "access_token": (
            "Access tokens (sections 4 and 5); stage: whether the claims or the seals are refused.",
            access_tokens(),
        ),
    }
