"""Vectors of sections 4 to 7: access tokens and their info, commands, events, revocation."""

import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import splitvault_protocol as p
from fixtures import expand, pkcs8, rsa_key, x25519_key
from vectors_documents import (
    ENVIRONMENT_ID,
    MANAGER_ID,
    MANAGER_IDENTITY,
    NOW,
    OTHER_ENVIRONMENT_ID,
    OTHER_MANAGER_ID,
    OTHER_SECRET_ID,
    OTHER_VAULT_ID,
    SECRET_ID,
    STRANGER,
    VAULT_ID,
    VAULT_IDENTITY,
    flipped,
    text_of,
    unused_bit,
    with_number,
    without_member,
)
from vectors_envelope import negative

ISSUER = p.issuer_of("production", MANAGER_ID)
OTHER_ISSUER = p.issuer_of("production", OTHER_MANAGER_ID)
SIGNING, OTHER_SIGNING = rsa_key("token signing"), rsa_key("other token signing")
SEALS = [x25519_key(f"seal {number}") for number in range(9)]
SEAL, DEAD_SEAL = SEALS[0], SEALS[1]
CONTENT_KEY = expand("content key", 32)
SUBJECT = p.format_id("usr", expand("subject", 16))
CLIENT = p.format_id("crd", expand("client", 16))
JTI = p.b64(expand("jti", 16))


def release_keys(count):
    return [expand(f"release key {number}", 32) for number in range(count)]


def claims_of(**changes):
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": VAULT_ID,
        "exp": NOW + 900,
        "nbf": NOW,
        "iat": NOW,
        "jti": JTI,
        "client_id": CLIENT,
        "env": ENVIRONMENT_ID[4:],
        "grants": [[SECRET_ID[4:], 1], [OTHER_SECRET_ID[4:], 7]],
        "rseq": 5,
    }
    return {**claims, **changes}


def sealed(claims, seals=(SEAL,), rks=None):
    ephemerals = [x25519_key(f"ephemeral {number}") for number in range(len(seals))]
    rks = rks or release_keys(len(claims["grants"]))
    publics = [key.public_key() for key in seals]
    return p.seal_release_keys(claims, publics, rks, CONTENT_KEY, ephemerals)


def sign(claims, key=SIGNING, **header_changes):
    """A token with these claims (an object, or text as it is) and, if asked, another header."""
    head = {"alg": "RS256", "typ": "at+jwt", "kid": p.kid_of(key.public_key())} | header_changes
    payload = (
        claims if isinstance(claims, bytes) else claims.encode() if isinstance(claims, str) else p.compact_json(claims)
    )
    return p.sign_raw(key, p.compact_json(head), payload)


def sign_parts(head, payload, key=SIGNING):
    """A signature over two parts that are taken as they are."""
    message = f"{head}.{payload}".encode()
    if key in (SIGNING, OTHER_SIGNING):
        signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(message)
    return f"{head}.{payload}.{p.b64(signature)}"


CONTEXT = {
    "issuer": ISSUER,
    "vault": VAULT_ID,
    "now": NOW,
    "token_signing_keys": [p.jwk_of(key.public_key()) for key in (SIGNING, OTHER_SIGNING)],
    "living_seal_keys": [{"kid": p.kid_of(SEAL.public_key()), "private_key": p.b64(expand("seal 0", 32))}],
    "manager_identity": p.jwk_of(MANAGER_IDENTITY.public_key()),
}


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


def header_attacks(claims, sign_with, key, typ, alg, other_typ):
    """(reason, compact form) for every kind of token; `claims` are good ones."""
    kid = p.kid_of(key.public_key())
    head, payload = {"alg": alg, "typ": typ, "kid": kid}, p.compact_json(claims)

    def text_head(text):
        return p.sign_raw(key, text.encode(), payload)

    def raw(document):
        return text_head(text_of(document))

    good = raw(head)
    one, two, three = good.split(".")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name, secret in (
        ("PEM", pem),
        ("DER", der),
        ("JWK", p.compact_json(p.jwk_of(key.public_key()))),
        ("nothing", b""),
    ):
        message = f"{p.b64(text_of({**head, 'alg': 'HS256'}).encode())}.{two}"
        mac = p.hmac.digest(secret, message.encode(), "sha256")
        yield f"HS256 with the public key as {name}", f"{message}.{p.b64(mac)}"
    for value in ("none", "None", "NONE", ""):
        none = p.b64(text_of({**head, "alg": value}).encode())
        yield f"alg is {value or 'empty'}, no signature", f"{none}.{two}."
        yield f"alg is {value or 'empty'}, the good signature", f"{none}.{two}.{three}"
        yield f"alg is {value or 'empty'}, signed", raw({**head, "alg": value})
    for value in (
        alg.lower(),
        alg.capitalize() if alg != alg.capitalize() else alg.upper(),
        "RS384",
        "RS512",
        "PS256",
        "ES256",
        "Ed25519",
        "HS256",
        "EdDSA" if alg == "RS256" else "RS256",
    ):
        yield f"alg is {value}, signed as {alg}", raw({**head, "alg": value})
    for value in ("JWT", "jwt", typ.upper(), "application/" + typ, other_typ, "", typ + " "):
        yield (
            f"typ is {value or 'empty'}" + (" and a space" if value.endswith(" ") else ""),
            raw({**head, "typ": value}),
        )
    kids = {
        "unknown": p.kid_of(rsa_key("stranger's token signing").public_key())
        if alg == "RS256"
        else p.kid_of(STRANGER.public_key()),
        "empty": "",
        "a path": "../../../../dev/null",
        "an absolute path": "/proc/self/environ",
        "a path after the kid": f"{kid}/../{kid}",
        "SQL": "' OR '1'='1' --",
        "SQL that adds": "x' UNION SELECT 'a2V5' --",
        "a URL": "https://attacker.example/key.json",
        "a NUL after the kid": kid + "\0",
        "a space after the kid": kid + " ",
        "padded": kid + "=",
        "in capitals": kid.upper(),
        "with an unused bit": unused_bit(kid),
        "that of a seal key": p.kid_of(SEAL.public_key()),
    }
    for name, value in kids.items():
        yield f"kid is {name}", raw({**head, "kid": value})
    for name in head:
        yield f"header: {name} is missing", raw({k: v for k, v in head.items() if k != name})
        yield f"header: {name} is null", raw({**head, name: None})
        yield f"header: {name} is a number", raw({**head, name: 1})
        yield f"header: {name} is an array", raw({**head, name: [head[name]]})
        yield f"header: {name} is given twice", text_head(text_of(head)[:-1] + f',"{name}":{json.dumps(head[name])}}}')
        yield f"header: {name} is given twice, first wrong", text_head(f'{{"{name}":"x",' + text_of(head)[1:])
    yield "header: alg is given twice, once escaped", text_head(text_of(head)[:-1] + f',"\\u0061lg":"{alg}"}}')
    jwk = p.jwk_of(OTHER_SIGNING.public_key() if alg == "RS256" else STRANGER.public_key())
    extra = {
        "crit": [],
        "crit of exp": ["exp"],
        "crit of b64": ["b64"],
        "b64": False,
        "b64 true": True,
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/chain.pem",
        "jwk": jwk,
        "x5c": ["MII="],
        "x5t#S256": kid,
        "zip": "DEF",
        "cty": "JWT",
        "enc": "A256GCM",
        "iss": "x",
        "": "",
        "KID": kid,
    }
    for name, value in extra.items():
        yield f"header has {name or 'an empty name'}", raw({**head, name.split(" ")[0]: value})
    attacker = OTHER_SIGNING if alg == "RS256" else STRANGER
    yield (
        "jwk of an attacker in the header, and his signature",
        p.sign_raw(attacker, p.compact_json({**head, "jwk": jwk}), payload),
    )
    yield "signed by another key under this kid", p.sign_raw(attacker, p.compact_json(head), payload)
    yield "header is an array", text_head(f"[{text_of(head)}]")
    yield "header is an array of its values", text_head(text_of(list(head.values())))
    yield "header is a string", text_head('"RS256"')
    yield "header is empty", text_head("{}")
    yield "header is not JSON", text_head(text_of(head)[:-1])
    yield "header has text after it", text_head(text_of(head) + "{}")
    yield "header is not UTF-8", p.sign_raw(key, text_of(head).encode()[:-1] + b',"\xff":""}', payload)

    # Forms. Parts that are signed as they are, so that only the form is wrong.
    def loose(data):
        """JSON bytes, with a space if need be, whose b64 has unused bits."""
        return data if len(data) % 3 else data[:-1] + b" }"

    loose_head, loose_payload = p.b64(loose(p.compact_json(head))), p.b64(loose(payload))
    yield "unused bit in the header", sign_parts(unused_bit(loose_head), two, key)
    yield "unused bit in the payload", sign_parts(one, unused_bit(loose_payload), key)
    yield "unused bit in the signature", f"{one}.{two}.{unused_bit(three)}"
    yield "padded header", sign_parts(loose_head + "=" * (-len(loose_head) % 4), two, key)
    yield "padded payload", sign_parts(one, loose_payload + "=" * (-len(loose_payload) % 4), key)
    yield "padded signature", f"{one}.{two}.{three}" + "=" * (-len(three) % 4)
    newline = two[:8] + "\n" + two[8:]
    yield "a newline in the payload", sign_parts(one, newline, key)
    yield "the other base64 alphabet", f"{one}.{two}.{three.replace('-', '+').replace('_', '/')}"
    yield "two parts", f"{one}.{two}"
    yield "four parts", f"{good}.{three}"
    yield "five parts (JWE)", f"{good}.{two}.{three}"
    yield "empty signature", f"{one}.{two}."
    yield "empty payload", sign_parts(one, "", key)
    yield "empty header", sign_parts("", two, key)
    yield "empty text", ""
    yield "two dots", ".."
    yield "a space before", " " + good
    yield "a newline after", good + "\n"
    yield "a dot after", good + "."
    yield "JSON serialization", text_of({"protected": one, "payload": two, "signature": three})
    yield "signature: first bit", f"{one}.{two}.{flipped(three)}"
    yield "signature: cut by a byte", f"{one}.{two}.{p.b64(p.b64_decode(three)[:-1])}"
    yield "signature: a zero more", f"{one}.{two}.{p.b64(p.b64_decode(three) + bytes(1))}"
    yield "signature of zeros", f"{one}.{two}.{p.b64(bytes(len(p.b64_decode(three))))}"
    changed = p.b64(payload[:-1] + b" }")
    yield "payload changed after signing", f"{one}.{changed}.{three}"
    yield "payload is an array", p.sign_raw(key, p.compact_json(head), b"[" + payload + b"]")
    yield (
        "payload is an array of its values",
        p.sign_raw(key, p.compact_json(head), p.compact_json(list(claims.values()))),
    )
    yield "payload is empty JSON", p.sign_raw(key, p.compact_json(head), b"{}")
    yield "payload is null", p.sign_raw(key, p.compact_json(head), b"null")
    yield "payload is not JSON", p.sign_raw(key, p.compact_json(head), payload[:-1])
    yield "payload has text after it", p.sign_raw(key, p.compact_json(head), payload + b"{}")
    yield "payload is not UTF-8", p.sign_raw(key, p.compact_json(head), payload[:-1] + b',"\xff":""}')
    yield "payload has a lone surrogate", p.sign_raw(key, p.compact_json(head), payload[:-1] + b',"\\ud800":""}')
    yield "payload has a byte order mark", p.sign_raw(key, p.compact_json(head), b"\xef\xbb\xbf" + payload)
    yield "payload is UTF-16", p.sign_raw(key, p.compact_json(head), payload.decode().encode("utf-16-le"))


def claim_attacks(claims, sign_with, numbers, ranged):
    """(reason, compact form): each claim missing, given twice, of another type; `numbers` also as other literals."""
    for name in claims:
        yield f"{name} is missing", sign_with(without_member(claims, name))
        twice = f'{text_of(claims)[:-1]},"{name}":{json.dumps(claims[name])}}}'
        yield f"{name} is given twice", sign_with(twice)
        yield f"{name} is null", sign_with({**claims, name: None})
        wrong = str(claims[name]) if name in numbers else 1
        yield f"{name} is {'text' if name in numbers else 'a number'}", sign_with({**claims, name: wrong})
        yield f"{name} is in an array", sign_with({**claims, name: [claims[name]]})
        yield f"{name} is in an object", sign_with({**claims, name: {"a": claims[name]}})
        yield f"{name} is true", sign_with({**claims, name: True})
    for name in numbers:
        for literal in (
            f"{claims[name]}.0",
            f"{claims[name]}.5",
            f"{claims[name]}e0",
            f"-{claims[name]}",
            f"0{claims[name]}",
        ):
            yield f"{name} is {literal}", sign_with(with_number(claims, name, literal))
        if name in ranged:
            yield f"{name} is 2^53", sign_with({**claims, name: 2**53})
    first = next(iter(claims))
    escaped = f'{text_of(claims)[:-1]},"\\u{ord(first[0]):04x}{first[1:]}":{json.dumps(claims[first])}}}'
    yield f"{first} is given twice, once escaped", sign_with(escaped)
    yield "an unknown claim", sign_with({**claims, "scope": "read"})
    yield "an unknown claim of no name", sign_with({**claims, "": ""})
    yield "a claim in capitals", sign_with({**claims, first.upper(): claims[first]})


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
    for kind, payload in dict(EVENTS).items():
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
        "token_info": ("info of access tokens (section 5).", token_infos()),
        "access_token": (
            "Access tokens (sections 4 and 5); stage: whether the claims or the seals are refused.",
            access_tokens(),
        ),
        "command": ("Commands (sections 4 and 7).", commands()),
        "event": (
            "Events, one chain; those under negative come when the first `applied` are applied (section 6).",
            events(),
        ),
        "revocation": ("What events hit (section 6): positive tokens may be read, negative ones not.", revocations()),
    }
