"""What vectors of tokens, commands and events are made of: keys, claims, and signing as asked."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import splitvault_protocol as p
from fixtures import expand, rsa_key, x25519_key
from vectors_documents import (
    ENVIRONMENT_ID,
    MANAGER_ID,
    MANAGER_IDENTITY,
    NOW,
    OTHER_MANAGER_ID,
    OTHER_SECRET_ID,
    SECRET_ID,
    VAULT_ID,
)

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
