"""An independent implementation of docs/protocol.md, version 1.

It was written from the document alone and shares nothing with the Rust code, so that the two can disagree. The test
vectors are made with it, the vectors are checked with it, and the thief of the drills knows exactly this much.

It is strict where the document says "refuse": every reader raises `Refused`. It is no product: nothing here is constant
time or wiped, and random values may be given by the caller, because vectors need fixed ones.

Section numbers are those of docs/protocol.md.
"""

import base64 as _base64
import hashlib
import hmac
import json
import os
import re
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_INTEGER = 2**53 - 1
MAX_EPOCH = 2**32 - 1
MAX_VALUE = 1_048_576
MAX_GRANTS = 64
MAX_SEALS = 8
MAX_TOKEN_LIFE = 2_700
MAX_COMMAND_LIFE = 60
CLOCK_SKEW = 30
ZERO_HASH = bytes(32)
TEXT, BYTES = 0, 1


class Refused(Exception):
    """A reader refused its input. `code` is the error code a service would answer with."""

    def __init__(self, reason, code="token_invalid"):
        super().__init__(reason)
        self.reason = reason
        self.code = code


# --- 1. Notation ------------------------------------------------------------------------------------------------------


def _text_to_bytes(text, alphabet, decoder, encoder, what):
    if not isinstance(text, str) or not re.fullmatch(alphabet, text):
        raise Refused(f"not {what}")
    try:
        data = decoder(text)
    except ValueError:
        raise Refused(f"not {what}") from None
    if encoder(data) != text:
        raise Refused(f"not canonical {what}")
    return data


def b64(data):
    return _base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64_decode(text, length=None):
    """The bytes of canonical, unpadded base64url; of exactly `length` bytes when that is given."""
    data = _text_to_bytes(
        text, r"[A-Za-z0-9_-]*", lambda t: _base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)), b64, "base64url"
    )
    if length is not None and len(data) != length:
        raise Refused(f"not {length} bytes")
    return data


def base64(data):
    return _base64.b64encode(data).decode("ascii")


def base64_decode(text):
    """The bytes of canonical, padded base64: only `key_data` and `decrypted_key` use it."""
    return _text_to_bytes(
        text, r"[A-Za-z0-9+/]*={0,2}", lambda t: _base64.b64decode(t, validate=True), base64, "base64"
    )


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def lp(*parts):
    """LP: every part with its length before it."""
    out = b""
    for part in parts:
        data = part.encode("utf-8") if isinstance(part, str) else part
        out += u32(len(data)) + data
    return out


def derive(key, label, *parts):
    """F: HKDF-Expand with SHA-256, 32 bytes out."""
    if len(key) != 32:
        raise Refused("a key has 32 bytes")
    return HKDFExpand(hashes.SHA256(), 32, lp("splitvault/1/" + label, *parts)).derive(key)


def fingerprint(key):
    """What reports call a symmetric key."""
    return b64(derive(key, "fingerprint"))[:16]


def sha256(data):
    return hashlib.sha256(data).digest()


PREFIXES = ("mgr", "vlt", "env", "sec", "usr", "svc", "crd")


def format_id(prefix, raw):
    assert prefix in PREFIXES and len(raw) == 16
    return f"{prefix}_{b64(raw)}"


def parse_id(text, *prefixes):
    """The 16 raw bytes of an id whose prefix is one of `prefixes`."""
    if isinstance(text, str) and text[:3] in prefixes and text[3:4] == "_":
        return b64_decode(text[4:], 16)
    raise Refused("not an id of this kind")


def parse_bare_id(text):
    return b64_decode(text, 16)


def parse_integer(value, low=0, high=MAX_INTEGER):
    if type(value) is not int or not low <= value <= high:
        raise Refused("not an integer in range")
    return value


def parse_version(value):
    return parse_integer(value, 1)


def parse_epoch(value):
    return parse_integer(value, 1, MAX_EPOCH)


def parse_string(value):
    if not isinstance(value, str):
        raise Refused("not a string")
    return value


def parse_json(text):
    """A JSON document, refusing what a lenient parser would guess at: duplicate members, fractions, exponents, NaN."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None

    def unique(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refused("a member is given twice")
        return dict(pairs)

    def no_number(literal):
        raise Refused(f"{literal} is not an integer")

    def integer(literal):
        return no_number(literal) if literal.startswith("-") or len(literal) > 20 else int(literal)

    try:
        document = json.loads(
            text, object_pairs_hook=unique, parse_float=no_number, parse_constant=no_number, parse_int=integer
        )
        # A lone surrogate is a string for Python and for nobody else.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Refused("not JSON") from None
    return document


def exact_members(document, required, optional=()):
    if not isinstance(document, dict):
        raise Refused("not an object")
    if missing := set(required) - set(document):
        raise Refused(f"missing: {sorted(missing)}")
    if unknown := set(document) - set(required) - set(optional):
        raise Refused(f"unknown: {sorted(unknown)}")
    return document


def compact_json(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


# --- Public keys ------------------------------------------------------------------------------------------------------


def jwk_of(public_key):
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        n, e = (value.to_bytes((value.bit_length() + 7) // 8, "big") for value in (numbers.n, numbers.e))
        return {"kty": "RSA", "n": b64(n), "e": b64(e)}
    curve = "Ed25519" if isinstance(public_key, Ed25519PublicKey) else "X25519"
    return {"kty": "OKP", "crv": curve, "x": b64(public_key.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def parse_jwk(jwk):
    """The public key of a JWK with exactly the members that the document allows."""
    if not isinstance(jwk, dict):
        raise Refused("not an object")
    if jwk.get("kty") == "RSA":
        exact_members(jwk, ("kty", "n", "e"))
        n, e = b64_decode(jwk["n"]), b64_decode(jwk["e"])
        if n[:1] in (b"", b"\0") or e[:1] in (b"", b"\0"):
            raise Refused("an integer with leading zeros")
        n, e = int.from_bytes(n, "big"), int.from_bytes(e, "big")
        if not 2048 <= n.bit_length() <= 4096 or e < 65537 or n % 2 == 0 or e % 2 == 0:
            raise Refused("an RSA key outside of the limits")
        try:
            return rsa.RSAPublicNumbers(e, n).public_key()
        except ValueError:
            raise Refused("not an RSA key") from None
    exact_members(jwk, ("kty", "crv", "x"))
    kinds = {"Ed25519": Ed25519PublicKey, "X25519": X25519PublicKey}
    if jwk["kty"] != "OKP" or not isinstance(jwk["crv"], str) or jwk["crv"] not in kinds:
        raise Refused("not a key type of the protocol")
    return kinds[jwk["crv"]].from_public_bytes(b64_decode(jwk["x"], 32))


def thumbprint(jwk):
    """RFC 7638 and RFC 8037: the required members in lexicographic order."""
    names = ("e", "kty", "n") if jwk["kty"] == "RSA" else ("crv", "kty", "x")
    return sha256(compact_json({name: jwk[name] for name in names}))


def kid_of(public_key):
    return b64(thumbprint(jwk_of(public_key)))


# --- 2. Identities and key statements ---------------------------------------------------------------------------------

PURPOSES = {"token-signing": ("mgr", "RSA"), "transport": ("vlt", "RSA"), "seal": ("vlt", "X25519")}


def parse_identity(document):
    exact_members(document, ("id", "mode", "key"))
    parse_id(document["id"], "mgr", "vlt")
    if document["mode"] not in ("development", "production"):
        raise Refused("not a mode")
    key = parse_jwk(document["key"])
    if not isinstance(key, Ed25519PublicKey):
        raise Refused("an identity key is an Ed25519 key")
    return document["id"], document["mode"], key


def issuer_of(mode, manager_id):
    return f"urn:splitvault:{mode}:{manager_id}"


def _signed(identity_key, message):
    return {"kid": kid_of(identity_key.public_key()), "signature": b64(identity_key.sign(message))}


def _check_signature(document, identities, message):
    key = identities.get(parse_string(document["kid"]))
    if key is None or kid_of(key) != document["kid"]:
        raise Refused("not signed by a pinned identity key")
    try:
        key.verify(b64_decode(document["signature"], 64), message)
    except InvalidSignature:
        raise Refused("the signature does not hold") from None


def _statement_message(owner, purpose, jwk, not_before, not_after):
    owner = parse_id(owner, *PREFIXES)
    return lp("splitvault/1/key", owner, purpose, thumbprint(jwk), u64(not_before), u64(not_after))


def make_statement(identity_key, owner, purpose, public_key, not_before, not_after):
    jwk = jwk_of(public_key)
    message = _statement_message(owner, purpose, jwk, not_before, not_after)
    times = {"not_before": not_before, "not_after": not_after}
    return {"owner": owner, "purpose": purpose, "key": jwk, **times, **_signed(identity_key, message)}


def verify_statement(document, owner, identities, now):
    """(purpose, kid, public key) of a statement of `owner` that counts now. `identities`: kid → pinned public key."""
    exact_members(document, ("owner", "purpose", "key", "not_before", "not_after", "kid", "signature"))
    prefix, key_type = PURPOSES.get(parse_string(document["purpose"]), (None, None))
    if prefix is None:
        raise Refused("not a purpose")
    parse_id(document["owner"], prefix)
    if document["owner"] != owner:
        raise Refused("another owner")
    key = parse_jwk(document["key"])
    if document["key"].get("crv", document["key"]["kty"]) != key_type:
        raise Refused("not the key type of the purpose")
    times = parse_integer(document["not_before"]), parse_integer(document["not_after"])
    _check_signature(document, identities, _statement_message(owner, document["purpose"], document["key"], *times))
    if not times[0] <= now < times[1]:
        raise Refused("the statement does not count now")
    return document["purpose"], kid_of(key), key


# --- 3. The envelope --------------------------------------------------------------------------------------------------


def header(vault, environment, secret, version):
    return lp("splitvault/1/header", b"\x01", vault, environment, secret, u64(version))


def frame_size(length):
    used = 5 + length
    step = max(64, (1 << (used.bit_length() - 1)) // 8)
    return -(-used // step) * step


def make_frame(kind, value):
    if kind not in (TEXT, BYTES) or len(value) > MAX_VALUE:
        raise Refused("not a value")
    used = bytes([kind]) + u32(len(value)) + value
    return used + bytes(frame_size(len(value)) - len(used))


def parse_frame(frame):
    """(kind, value)"""
    if len(frame) < 5 or frame[0] not in (TEXT, BYTES):
        raise Refused("not a frame")
    kind, length = frame[0], int.from_bytes(frame[1:5], "big")
    if length > MAX_VALUE or len(frame) != frame_size(length) or any(frame[5 + length :]):
        raise Refused("not a frame")
    value = frame[5 : 5 + length]
    if kind == TEXT:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None
    return kind, value


def aes_wrap(key, data):
    return keywrap.aes_key_wrap(key, data)


def aes_unwrap(key, data, length):
    if len(data) != length:
        raise Refused("not the length of this wrapped key")
    try:
        return keywrap.aes_key_unwrap(key, data)
    except (keywrap.InvalidUnwrap, ValueError):
        raise Refused("the wrapped key does not open") from None


def envelope_digest(header_bytes, commit, nonce, ciphertext):
    return sha256(lp("splitvault/1/envelope", header_bytes, commit, nonce, sha256(ciphertext)))


def release_key(root_key, digest):
    return derive(root_key, "release", digest)


def seal_envelope(vault, environment, secret, version, root_key, kind, value, dek=None, nonce=None):
    """What the manager computes; `moved` and `stored` are one `aes_wrap` of `inner` further."""
    dek, nonce = dek or os.urandom(32), nonce or os.urandom(12)
    h = header(vault, environment, secret, version)
    commit = derive(dek, "commit", h)
    ciphertext = AESGCM(derive(dek, "encrypt", h)).encrypt(nonce, make_frame(kind, value), h + commit)
    digest = envelope_digest(h, commit, nonce, ciphertext)
    inner = aes_wrap(release_key(root_key, digest), dek)
    return {"digest": digest, "commit": commit, "nonce": nonce, "ciphertext": ciphertext, "inner": inner}


def check_lengths(commit, nonce, ciphertext):
    """A frame is at least 64 bytes, a multiple of 64, and at most that of the largest value."""
    size = len(ciphertext) - 16
    if len(commit) != 32 or len(nonce) != 12 or size % 64 or not 64 <= size <= frame_size(MAX_VALUE):
        raise Refused("not the lengths of an envelope")


def open_with_dek(dek, header_bytes, commit, nonce, ciphertext):
    check_lengths(commit, nonce, ciphertext)
    if not hmac.compare_digest(derive(dek, "commit", header_bytes), commit):
        raise Refused("another commitment")
    try:
        frame = AESGCM(derive(dek, "encrypt", header_bytes)).decrypt(nonce, ciphertext, header_bytes + commit)
    except InvalidTag:
        raise Refused("the ciphertext does not open") from None
    return parse_frame(frame)


def open_envelope(vault, environment, secret, version, storage_key, rk, stored, commit, nonce, ciphertext):
    """What the vault does for a token: `environment`, `secret`, `version`, `rk` are the token's, the rest the row's."""
    check_lengths(commit, nonce, ciphertext)
    dek = aes_unwrap(rk, aes_unwrap(storage_key, stored, 48), 40)
    return open_with_dek(dek, header(vault, environment, secret, version), commit, nonce, ciphertext)


_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"splitvault/1/transfer")


def wrap_transfer_key(transport_public, transfer_key):
    return transport_public.encrypt(transfer_key, _OAEP)


def unwrap_transfer_key(transport_private, wrapped):
    if len(wrapped) != (transport_private.key_size + 7) // 8:
        raise Refused("not the length of the transport key")
    try:
        transfer_key = transport_private.decrypt(wrapped, _OAEP)
    except ValueError:
        raise Refused("the transfer key does not open") from None
    if len(transfer_key) != 32:
        raise Refused("a transfer key has 32 bytes")
    return transfer_key


def fingerprint_key(credential_hmac_key):
    """k of section 3, which is in no file of its own."""
    return hmac.digest(credential_hmac_key, b"splitvault fingerprint key 1", "sha256")


def value_fingerprint(key, environment, kind, value):
    return hmac.digest(derive(key, "fingerprint-hash", environment), bytes([kind]) + value, "sha256")


def binding_key(key, header_bytes):
    return derive(key, "fingerprint-bind", header_bytes)


def bound_fingerprint(key, vault, environment, secret, version, kind, value):
    """The fingerprint of a value, bound to an envelope."""
    bind = binding_key(key, header(vault, environment, secret, version))
    return aes_wrap(bind, value_fingerprint(key, environment, kind, value))


def read_fingerprint(binding, storage_key, stored):
    return aes_unwrap(binding, aes_unwrap(storage_key, stored, 48), 40)


# --- HPKE: RFC 9180 base mode, single shot, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM ----------------------
# By hand, because vectors need a fixed ephemeral key; check_vectors.py holds it against the RFC and the package's own.

_KEM = b"KEM" + struct.pack(">H", 0x0020)
_HPKE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0002)


def _labeled_extract(suite, salt, label, ikm):
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")


def _labeled_expand(suite, prk, label, info, length):
    full = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return HKDFExpand(hashes.SHA256(), length, full).derive(prk)


def _raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _hpke_cipher(dh, enc, recipient, info):
    eae_prk = _labeled_extract(_KEM, b"", b"eae_prk", dh)
    shared = _labeled_expand(_KEM, eae_prk, b"shared_secret", enc + recipient, 32)
    psk_id_hash = _labeled_extract(_HPKE, b"", b"psk_id_hash", b"")
    context = b"\x00" + psk_id_hash + _labeled_extract(_HPKE, b"", b"info_hash", info)
    secret = _labeled_extract(_HPKE, shared, b"secret", b"")
    key = _labeled_expand(_HPKE, secret, b"key", context, 32)
    return AESGCM(key), _labeled_expand(_HPKE, secret, b"base_nonce", context, 12)


def hpke_seal(public_key, info, plaintext, ephemeral=None, aad=b""):
    """enc ‖ ct"""
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = _raw(ephemeral.public_key())
    cipher, nonce = _hpke_cipher(ephemeral.exchange(public_key), enc, _raw(public_key), info)
    return enc + cipher.encrypt(nonce, plaintext, aad)


def hpke_open(private_key, info, sealed, aad=b""):
    try:
        dh = private_key.exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
        cipher, nonce = _hpke_cipher(dh, sealed[:32], _raw(private_key.public_key()), info)
        return cipher.decrypt(nonce, sealed[32:], aad)
    except (InvalidTag, ValueError):
        raise Refused("the seal does not open") from None


# --- 4. JWS -----------------------------------------------------------------------------------------------------------

#       kind:      (typ, alg, limit)
KINDS = {
    "token": ("at+jwt", "RS256", 8_000),
    "command": ("command+jwt", "EdDSA", 2_000),
    "event": ("secevent+jwt", "EdDSA", 2_000),
}
COMMAND_CLAIMS = ("iss", "aud", "iat", "nbf", "exp", "jti", "op", "body")
EVENT_CLAIMS = ("iss", "aud", "iat", "jti", "seq", "prev", "events")
TOKEN_CLAIMS = (
    *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "env", "grants", "rseq", "seals", "rk"),
)
OPERATIONS = (
    *("poll", "push", "replay", "store", "settle", "inventory", "handout", "rewrap", "retire", "compare", "find"),
)


def sign_jws(kind, private_key, claims):
    """The compact form. `claims` is an object, or bytes that are signed as they are."""
    typ, alg, _ = KINDS[kind]
    head = compact_json({"alg": alg, "typ": typ, "kid": kid_of(private_key.public_key())})
    return sign_raw(private_key, head, claims if isinstance(claims, bytes) else compact_json(claims))


def sign_raw(private_key, head, payload):
    message = f"{b64(head)}.{b64(payload)}".encode("ascii")
    if isinstance(private_key, rsa.RSAPrivateKey):
        signature = private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = private_key.sign(message)
    return f"{message.decode('ascii')}.{b64(signature)}"


def verify_jws(kind, compact, keys):
    """(kid, claims object) of a token whose signature holds. `keys`: kid → the public keys that count now."""
    typ, alg, limit = KINDS[kind]
    if not isinstance(compact, str) or len(compact.encode("utf-8", "replace")) > limit:
        raise Refused("too long")
    parts = compact.split(".")
    if len(parts) != 3 or not all(parts):
        raise Refused("not three parts")
    head_bytes, payload, signature = (b64_decode(part) for part in parts)
    head = exact_members(parse_json(head_bytes), ("alg", "typ", "kid"))
    if not all(isinstance(value, str) for value in head.values()) or (head["typ"], head["alg"]) != (typ, alg):
        raise Refused("another typ or alg")
    key = keys.get(head["kid"])
    if key is None or kid_of(key) != head["kid"]:
        raise Refused("unknown kid")
    message = compact.rsplit(".", 1)[0].encode("ascii")
    try:
        if isinstance(key, rsa.RSAPublicKey) and alg == "RS256":
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, Ed25519PublicKey) and alg == "EdDSA":
            key.verify(signature, message)
        else:
            raise Refused("not a key for this algorithm")
    except InvalidSignature:
        raise Refused("the signature does not hold") from None
    return head["kid"], parse_json(payload)


def _check_parties(claims, issuer, vault_id):
    if claims["iss"] != issuer or claims["aud"] != vault_id:
        raise Refused("another issuer or audience")


def _check_times(claims, now, max_life):
    exp, nbf, iat = (parse_integer(claims[name]) for name in ("exp", "nbf", "iat"))
    if iat > now + CLOCK_SKEW or nbf > now + CLOCK_SKEW or now >= exp:
        raise Refused("not alive")
    if exp <= iat or exp <= nbf or exp - iat > max_life:
        raise Refused("impossible times")


# --- 5. Access tokens -------------------------------------------------------------------------------------------------


def _confirmation(claims):
    """`cnf` in the form that info binds. Only its form is judged here."""
    if "cnf" not in claims:
        return ""
    if not isinstance(claims["cnf"], dict) or len(claims["cnf"]) != 1:
        raise Refused("not a confirmation")
    ((name, value),) = claims["cnf"].items()
    if name not in ("jkt", "x5t#S256"):
        raise Refused("not a confirmation")
    b64_decode(value, 32)
    return f"{name}:{value}"


def token_info(claims):
    grants = b"".join(lp(parse_bare_id(secret), u64(version)) for secret, version in claims["grants"])
    names = (claims[name] for name in ("iss", "aud", "sub", "client_id", "jti"))
    numbers = (u64(claims[name]) for name in ("iat", "exp", "rseq"))
    return lp("splitvault/1/token", *names, _confirmation(claims), *numbers, parse_bare_id(claims["env"]), grants)


def seal_release_keys(claims, seal_keys, release_keys, content_key=None, ephemerals=None):
    """The claims with `seals` and `rk`. `seal_keys` are the vault's public ones, `release_keys` in grant order."""
    content_key = content_key or os.urandom(32)
    info = token_info(claims)
    ephemerals = ephemerals or [None] * len(seal_keys)
    sealed = {
        kid_of(key): b64(hpke_seal(key, info, content_key, ephemeral))
        for key, ephemeral in zip(seal_keys, ephemerals, strict=True)
    }
    rk = AESGCM(content_key).encrypt(bytes(12), b"".join(release_keys), info)
    return {**claims, "seals": sealed, "rk": b64(rk)}


def parse_token_claims(claims):
    """Forms only; the claims are given back as they are."""
    exact_members(claims, TOKEN_CLAIMS, ("cnf",))
    parse_id(claims["sub"], "usr", "svc")
    parse_id(claims["client_id"], "crd")
    parse_bare_id(claims["jti"])
    parse_bare_id(claims["env"])
    parse_integer(claims["rseq"])
    grants = claims["grants"]
    if not isinstance(grants, list) or not 1 <= len(grants) <= MAX_GRANTS:
        raise Refused("not 1 to 64 grants")
    for grant in grants:
        if not isinstance(grant, list) or len(grant) != 2:
            raise Refused("not a grant")
        parse_bare_id(grant[0])
        parse_version(grant[1])
    if len({secret for secret, _ in grants}) != len(grants):
        raise Refused("a secret is granted twice")
    seals = claims["seals"]
    if not isinstance(seals, dict) or not 1 <= len(seals) <= MAX_SEALS:
        raise Refused("not 1 to 8 seals")
    for kid, sealed in seals.items():
        b64_decode(kid, 32)
        b64_decode(sealed, 80)
    b64_decode(claims["rk"], 32 * len(grants) + 16)
    _confirmation(claims)
    return claims


def verify_access_token(compact, now, issuer, vault_id, signing_keys):
    """(kid, claims) of a token that may be honoured, before revocation."""
    kid, claims = verify_jws("token", compact, signing_keys)
    parse_token_claims(claims)
    _check_parties(claims, issuer, vault_id)
    _check_times(claims, now, MAX_TOKEN_LIFE)
    if "cnf" in claims:
        raise Refused("no proof of possession is implemented")
    return kid, claims


def open_release_keys(claims, seal_keys):
    """The release keys in grant order. `seal_keys`: kid → the private seal keys that are alive."""
    kid = next((kid for kid in claims["seals"] if kid in seal_keys), None)
    if kid is None:
        raise Refused("no named seal key is alive", "seal_key_unknown")
    info = token_info(claims)
    content_key = hpke_open(seal_keys[kid], info, b64_decode(claims["seals"][kid]))
    if len(content_key) != 32:
        raise Refused("a content key has 32 bytes")
    try:
        joined = AESGCM(content_key).decrypt(bytes(12), b64_decode(claims["rk"]), info)
    except InvalidTag:
        raise Refused("the release keys do not open") from None
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


# --- 6. Events and revocation -----------------------------------------------------------------------------------------

_EVENT = "urn:splitvault:event:"
_EVENT_FIELDS = {
    "token": {"jti": parse_bare_id},
    "subject": {"sub": lambda value: parse_id(value, "usr", "svc")},
    "credential": {"client_id": lambda value: parse_id(value, "crd")},
    "environment": {"environment": lambda value: parse_id(value, "env")},
    "secret": {"secret_id": lambda value: parse_id(value, "sec")},
    "version": {"secret_id": lambda value: parse_id(value, "sec"), "version": parse_version},
    "signing-key": {"kid": lambda value: b64_decode(value, 32)},
    "all": {},
    "destroy": {
        "environment": lambda value: parse_id(value, "env"),
        "secret_id": lambda value: parse_id(value, "sec"),
        "version": parse_version,
    },
}


def event_hash(compact):
    return sha256(compact.encode("ascii"))


LASTING = ("subject", "credential", "environment", "signing-key", "destroy")


def make_event(identity_key, issuer, vault_id, iat, jti, seq, prev, kind, payload, lasting=None):
    claims = {"iss": issuer, "aud": vault_id, "iat": iat, "jti": jti, "seq": seq, "prev": b64(prev)}
    if lasting is not None:
        claims["lasting"] = b64(lasting)
    return sign_jws("event", identity_key, {**claims, "events": {_EVENT + kind: payload}})


def verify_event(compact, now, issuer, vault_id, identities):
    """(seq, prev, kind, payload, lasting); lasting is None in an event of before it was written"""
    _, claims = verify_jws("event", compact, identities)
    names_lasting = isinstance(claims, dict) and "lasting" in claims
    exact_members(claims, (*EVENT_CLAIMS, "lasting") if names_lasting else EVENT_CLAIMS)
    lasting = b64_decode(claims["lasting"], 32) if names_lasting else None
    _check_parties(claims, issuer, vault_id)
    parse_bare_id(claims["jti"])
    parse_integer(claims["iat"])
    seq, prev = parse_integer(claims["seq"], 1), b64_decode(claims["prev"], 32)
    if not isinstance(claims["events"], dict) or len(claims["events"]) != 1:
        raise Refused("not exactly one event")
    ((name, payload),) = claims["events"].items()
    fields = _EVENT_FIELDS.get(name.removeprefix(_EVENT)) if name.startswith(_EVENT) else None
    if fields is None:
        raise Refused("not a kind of event")
    for field, parse in fields.items():
        parse(exact_members(payload, fields)[field])
    exact_members(payload, fields)
    return seq, prev, name.removeprefix(_EVENT), payload, lasting


class Chain:
    """The events that a vault applied, in order. `dropped_below` is that of the push that brings an event."""

    def __init__(self):
        self.events = {}  # seq: (compact, kind, payload); ended ones may be missing
        self.passed_over = 0  # the highest number that is missing
        self.stopped = False

    @property
    def applied(self):
        return max(self.events, default=0)

    def head(self):
        return event_hash(self.events[self.applied][0]) if self.events else ZERO_HASH

    def lasting(self):
        numbers = [seq for seq, (_, kind, _) in self.events.items() if kind in LASTING]
        return event_hash(self.events[max(numbers)][0]) if numbers else ZERO_HASH

    def conflict(self, reason):
        self.stopped = True
        raise Refused(reason, "event_conflict")

    def apply(self, compact, now, issuer, vault_id, identities, dropped_below=0):
        seq, prev, kind, payload, lasting = verify_event(compact, now, issuer, vault_id, identities)
        if self.stopped:
            raise Refused("the feed is stopped", "event_conflict")
        if seq <= self.applied:
            if seq in self.events and self.events[seq][0] != compact:
                self.conflict("a known number with other bytes")
            return
        if seq != self.applied + 1:
            if seq > dropped_below:
                raise Refused(f"expected {self.applied + 1}", "event_gap")
            if lasting != self.lasting():
                self.conflict("a lasting event is missing")
            self.passed_over = seq - 1
        elif prev != self.head() or lasting not in (None, self.lasting()):
            self.conflict("another chain")
        self.events[seq] = (compact, kind, payload)

    def check(self, kid, claims, secret, version):
        """Refuse a token, or its grant of a version, that an event hits."""
        rseq = claims["rseq"]
        if rseq > self.applied:
            raise Refused("the feed is behind the token", "revocations_behind")
        if rseq < self.passed_over:
            raise Refused("an event that was passed over may have hit it")
        secret_id = "sec_" + secret
        for seq, (_, kind, payload) in self.events.items():
            named = {"kid": kid, "secret_id": secret_id, "version": version}
            named.update({name: claims[name] for name in ("jti", "sub", "client_id")})
            named["environment"] = "env_" + claims["env"]
            # An id names its version by itself: a destroyed one stays destroyed, whatever environment a token claims.
            if kind == "destroy":
                payload = {name: value for name, value in payload.items() if name != "environment"}
            always = kind in ("signing-key", "destroy")
            if (always or rseq < seq) and all(named[name] == value for name, value in payload.items()):
                raise Refused(f"revoked by event {seq}")


FEED_FIELDS = ("vault", "nonce", "applied", "event_hash", "time", "kid", "signature")


def _feed_message(feed):
    vault, applied = parse_id(feed["vault"], "vlt"), u64(parse_integer(feed["applied"]))
    nonce, last = b64_decode(feed["nonce"], 16), b64_decode(feed["event_hash"], 32)
    return lp("splitvault/1/feed", vault, nonce, applied, last, u64(parse_integer(feed["time"])))


def make_feed(identity_key, vault_id, nonce, applied, last, time):
    feed = {"vault": vault_id, "nonce": b64(nonce), "applied": applied, "event_hash": b64(last), "time": time}
    return {**feed, **_signed(identity_key, _feed_message(feed))}


def verify_feed(feed, vault_id, nonce, identities):
    """(applied, event hash)"""
    exact_members(feed, FEED_FIELDS)
    message = _feed_message(feed)
    if feed["vault"] != vault_id or feed["nonce"] != b64(nonce):
        raise Refused("another vault or nonce")
    _check_signature(feed, identities, message)
    if feed["applied"] == 0 and feed["event_hash"] != b64(ZERO_HASH):
        raise Refused("a hash of no event")
    return feed["applied"], b64_decode(feed["event_hash"])


# --- 7. Commands and receipts -----------------------------------------------------------------------------------------


def make_command(identity_key, issuer, vault_id, iat, exp, jti, op, body, nbf=None):
    claims = {"iss": issuer, "aud": vault_id, "iat": iat, "nbf": iat if nbf is None else nbf, "exp": exp, "jti": jti}
    return sign_jws("command", identity_key, {**claims, "op": op, "body": b64(sha256(body))})


def verify_command(compact, body, now, issuer, vault_id, identities):
    """The operation of a command for this body."""
    _, claims = verify_jws("command", compact, identities)
    exact_members(claims, COMMAND_CLAIMS)
    _check_parties(claims, issuer, vault_id)
    parse_bare_id(claims["jti"])
    _check_times(claims, now, MAX_COMMAND_LIFE)
    if parse_string(claims["op"]) not in OPERATIONS:
        raise Refused("not an operation")
    if b64_decode(claims["body"], 32) != sha256(body):
        raise Refused("another body")
    return claims["op"]


RECEIPT_FIELDS = (
    *("vault", "environment", "secret_id", "version", "state", "epoch", "digest", "time", "kid", "signature"),
)


def _receipt_message(receipt):
    ids = (
        parse_id(receipt[name], kind) for name, kind in (("vault", "vlt"), ("environment", "env"), ("secret_id", "sec"))
    )
    state, digest = parse_string(receipt["state"]), b64_decode(receipt["digest"], 32)
    if state not in ("stored", "tombstone"):
        raise Refused("not a state")
    epoch = parse_epoch(receipt["epoch"]) if state == "stored" else parse_integer(receipt["epoch"], 0, 0)
    if state == "tombstone" and digest != ZERO_HASH:
        raise Refused("a tombstone has no digest")
    version, time = u64(parse_version(receipt["version"])), u64(parse_integer(receipt["time"]))
    return lp("splitvault/1/receipt", *ids, version, state, u32(epoch), digest, time)


def make_receipt(identity_key, vault_id, environment, secret, version, state, epoch, digest, time):
    receipt = {"vault": vault_id, "environment": environment, "secret_id": secret, "version": version, "state": state}
    receipt.update({"epoch": epoch, "digest": b64(digest), "time": time})
    return {**receipt, **_signed(identity_key, _receipt_message(receipt))}


def verify_receipt(receipt, vault_id, identities):
    exact_members(receipt, RECEIPT_FIELDS)
    message = _receipt_message(receipt)
    if receipt["vault"] != vault_id:
        raise Refused("another vault")
    _check_signature(receipt, identities, message)
    return receipt


RETIREMENT_FIELDS = ("vault", "environment", "epoch", "rows", "time", "kid", "signature")


def _retirement_message(retirement):
    vault, environment = (parse_id(retirement[name], kind) for name, kind in (("vault", "vlt"), ("environment", "env")))
    epoch, rows = u32(parse_epoch(retirement["epoch"])), u64(parse_integer(retirement["rows"]))
    return lp("splitvault/1/retirement", vault, environment, epoch, rows, u64(parse_integer(retirement["time"])))


def make_retirement(identity_key, vault_id, environment, epoch, rows, time):
    retirement = {"vault": vault_id, "environment": environment, "epoch": epoch, "rows": rows, "time": time}
    return {**retirement, **_signed(identity_key, _retirement_message(retirement))}


def verify_retirement(retirement, vault_id, identities):
    exact_members(retirement, RETIREMENT_FIELDS)
    message = _retirement_message(retirement)
    if retirement["vault"] != vault_id:
        raise Refused("another vault")
    _check_signature(retirement, identities, message)
    return retirement


COMPARISON_FIELDS = ("vault", "nonce", "results", "time", "kid", "signature")
LIKENESSES = ("same", "different", "unknown")


def _comparison_message(comparison):
    vault, nonce = parse_id(comparison["vault"], "vlt"), b64_decode(comparison["nonce"], 16)
    results = comparison["results"]
    if not isinstance(results, list) or any(parse_string(result) not in LIKENESSES for result in results):
        raise Refused("not results")
    return lp("splitvault/1/comparison", vault, nonce, lp(*results), u64(parse_integer(comparison["time"])))


def make_comparison(identity_key, vault_id, nonce, results, time):
    comparison = {"vault": vault_id, "nonce": b64(nonce), "results": results, "time": time}
    return {**comparison, **_signed(identity_key, _comparison_message(comparison))}


def verify_comparison(comparison, vault_id, nonce, count, identities):
    """The results for the `count` versions of the request with this nonce."""
    exact_members(comparison, COMPARISON_FIELDS)
    message = _comparison_message(comparison)
    if comparison["vault"] != vault_id or comparison["nonce"] != b64(nonce) or len(comparison["results"]) != count:
        raise Refused("another vault or request")
    _check_signature(comparison, identities, message)
    return comparison["results"]


# --- 9. Credentials ---------------------------------------------------------------------------------------------------


def make_credential(secret):
    assert len(secret) == 32
    return "spv_" + b64(secret + sha256(secret)[:4])


def parse_credential(text):
    """The 32 random bytes of a service credential whose checksum holds."""
    if not isinstance(text, str) or not text.startswith("spv_"):
        raise Refused("not a credential")
    data = b64_decode(text[4:], 36)
    if not hmac.compare_digest(sha256(data[:32])[:4], data[32:]):
        raise Refused("another checksum")
    return data[:32]
