"""Attacks on headers, payloads and claims that every kind of JWS must withstand (section 4)."""

import json

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import splitvault_protocol as p
from fixtures import rsa_key
from token_parts import OTHER_SIGNING, SEAL, sign_parts
from vectors_documents import STRANGER, flipped, text_of, unused_bit, with_number, without_member


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
