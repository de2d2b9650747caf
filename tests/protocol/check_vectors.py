#!/usr/bin/env python3
"""Check every file of shared-proto/vectors with the Python implementation: what is under "positive" must come out or
open exactly, what is under "negative" must be refused. Then the published vectors of our primitives.

With --export, write shared-proto/vectors/published/ from the package `cryptography-vectors` first.
The last line is "N passed, N failed"; the exit code is 1 if anything failed.
"""

import argparse
import collections
import functools
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hpke, keywrap
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

import published
import splitvault_protocol as p
from fixtures import expand_value

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "shared-proto" / "vectors"
KINDS = {"text": p.TEXT, "bytes": p.BYTES}


def from_hex(entry, *names):
    return [bytes.fromhex(entry[name]) for name in names]


def must_be(got, expected, what="the result"):
    if got != expected:
        raise AssertionError(f"{what} differs")


def must_match(entry, name, got):
    """`got` is the byte string `name`, which is there in full or as its length and hash."""
    if name in entry:
        must_be(got.hex(), entry[name], name)
    else:
        must_be(len(got), entry[f"{name}_length"], f"{name}_length")
        must_be(hashlib.sha256(got).hexdigest(), entry[f"{name}_sha256"], f"{name}_sha256")


def must_refuse(call, code=None):
    try:
        call()
    except p.Refused as refused:
        if code is not None:
            must_be(refused.code, code, "the error code")
        return
    raise AssertionError("was not refused")


def value_of(entry):
    kind = KINDS[entry["kind"]]
    seed = entry.get("seed")
    value = bytes.fromhex(entry["value"]) if seed is None else expand_value(kind, seed, entry["length"])
    must_be(len(value), entry["length"], "length")
    return kind, value


# Each check takes (context, entry, positive).


def check_encoding(_, entry, positive):
    kind = entry["kind"]
    if kind == "lp":
        return must_be(p.lp(*map(bytes.fromhex, entry["parts"])).hex(), entry["bytes"])
    encode, decode = {"b64": (p.b64, p.b64_decode), "base64": (p.base64, p.base64_decode)}[kind]
    if not positive:
        return must_refuse(lambda: decode(entry["text"]))
    must_be(decode(entry["text"]).hex(), entry["bytes"])
    return must_be(encode(bytes.fromhex(entry["bytes"])), entry["text"])


def check_id(_, entry, positive):
    if not positive:
        return must_refuse(lambda: p.parse_id(entry["text"], entry["prefix"]))
    must_be(p.parse_id(entry["text"], entry["prefix"]).hex(), entry["raw"])
    return must_be(p.format_id(entry["prefix"], bytes.fromhex(entry["raw"])), entry["text"])


def place_of(entry):
    return [
        p.parse_id(entry[name], prefix)
        for name, prefix in (("vault", "vlt"), ("environment", "env"), ("secret", "sec"))
    ]


def check_header(_, entry, positive):
    if not positive:
        return must_refuse(lambda: p.parse_version(entry["version"]))
    return must_be(p.header(*place_of(entry), p.parse_version(entry["version"])).hex(), entry["header"])


def check_frame(_, entry, positive):
    if "build" in entry:
        build = entry["build"]
        value = expand_value(build["kind"], build["seed"], build["length"])
        frame = bytes([build["kind"]]) + p.u32(build["length"]) + value
        must_refuse(lambda: p.parse_frame(frame + bytes(build["size"] - len(frame))))
        return must_refuse(lambda: p.make_frame(build["kind"], value))
    if not positive:
        return must_refuse(lambda: p.parse_frame(bytes.fromhex(entry["frame"])))
    kind, value = value_of(entry)
    frame = p.make_frame(kind, value)
    must_match(entry, "frame", frame)
    return must_be(p.parse_frame(frame), (kind, value))


def check_derive(_, entry, positive):
    output = p.derive(bytes.fromhex(entry["key"]), entry["label"], *map(bytes.fromhex, entry["parts"])).hex()
    if positive == (output != entry["output"]):
        raise AssertionError("the output differs" if positive else "this output must not come out")


def check_envelope(_, entry, positive):
    place, version = place_of(entry), entry["version"]
    if not positive:
        pieces = from_hex(entry, "storage_key", "release_key", "stored", "commit", "nonce", "ciphertext")
        return must_refuse(lambda: p.open_envelope(*place, version, *pieces))
    kind, value = value_of(entry)
    root, dek, nonce, storage, transfer = from_hex(entry, "root_key", "dek", "nonce", "storage_key", "transfer_key")
    envelope = p.seal_envelope(*place, version, root, kind, value, dek, nonce)
    for name, got in envelope.items():
        must_match(entry, name, got)
    h = p.header(*place, version)
    rk = p.release_key(root, envelope["digest"])
    stored = p.aes_wrap(storage, envelope["inner"])
    for name, got in (("header", h), ("release_key", rk), ("stored", stored)):
        must_match(entry, name, got)
    must_match(entry, "encryption_key", p.derive(dek, "encrypt", h))
    must_match(entry, "moved", p.aes_wrap(transfer, envelope["inner"]))
    must_be(p.aes_unwrap(transfer, bytes.fromhex(entry["moved"]), 48), envelope["inner"])
    opened = p.open_envelope(*place, version, storage, rk, stored, envelope["commit"], nonce, envelope["ciphertext"])
    return must_be(opened, (kind, value))


def check_key_wrap(_, entry, positive):
    key, wrapped = from_hex(entry, "key", "wrapped")
    if not positive:
        return must_refuse(lambda: p.aes_unwrap(key, wrapped, entry["data_length"] + 8))
    data = bytes.fromhex(entry["data"])
    must_be(p.aes_wrap(key, data), wrapped)
    return must_be(p.aes_unwrap(key, wrapped, len(wrapped)), data)


def check_transfer_key(_, entry, positive):
    private, wrapped = load_der_private_key(bytes.fromhex(entry["private_key"]), None), bytes.fromhex(entry["wrapped"])
    if not positive:
        return must_refuse(lambda: p.unwrap_transfer_key(private, wrapped))
    must_be(p.jwk_of(private.public_key()), entry["public_key"])
    transfer = bytes.fromhex(entry["transfer_key"])
    must_be(p.unwrap_transfer_key(private, wrapped), transfer)
    return must_be(p.unwrap_transfer_key(private, p.wrap_transfer_key(private.public_key(), transfer)), transfer)


def check_jwk(_, entry, positive):
    if not positive:
        return must_refuse(lambda: p.parse_jwk(p.parse_json(entry["text"])))
    key = p.parse_jwk(p.parse_json(entry["text"]))
    must_be(p.thumbprint(p.jwk_of(key)).hex(), entry["thumbprint"])
    return must_be(p.kid_of(key), entry["kid"])


def pins_of(entry):
    key = p.parse_jwk(entry["identity"])
    return {p.kid_of(key): key}


def check_statement(_, entry, positive):
    def verify():
        return p.verify_statement(p.parse_json(entry["text"]), entry["owner"], pins_of(entry), entry["now"])

    if not positive:
        return must_refuse(verify)
    purpose, kid, _ = verify()
    return must_be((purpose, kid), (entry["purpose"], entry["key_kid"]))


def check_feed(_, entry, positive):
    def verify():
        return p.verify_feed(p.parse_json(entry["text"]), entry["vault"], p.b64_decode(entry["nonce"]), pins_of(entry))

    if not positive:
        return must_refuse(verify)
    applied, last = verify()
    return must_be((applied, p.b64(last)), (entry["applied"], entry["event_hash"]))


def check_receipt(_, entry, positive):
    def verify():
        return p.verify_receipt(p.parse_json(entry["text"]), entry["vault"], pins_of(entry))

    return verify() if positive else must_refuse(verify)


def check_retirement(_, entry, positive):
    def verify():
        return p.verify_retirement(p.parse_json(entry["text"]), entry["vault"], pins_of(entry))

    return verify() if positive else must_refuse(verify)


def check_fingerprint(_, entry, positive):
    if positive == (p.fingerprint(bytes.fromhex(entry["key"])) != entry["fingerprint"]):
        raise AssertionError("the fingerprint differs" if positive else "this fingerprint must not come out")


def check_value_fingerprint(_, entry, positive):
    key, storage, stored = from_hex(entry, "fingerprint_key", "storage_key", "stored")
    place, (kind, value) = place_of(entry), value_of(entry)
    binding = p.binding_key(key, p.header(*place, entry["version"]))
    expected = p.value_fingerprint(key, place[1], kind, value)

    def read():
        if p.read_fingerprint(binding, storage, stored) != expected:
            raise p.Refused("another fingerprint")

    if not positive:
        return must_refuse(read)
    read()
    bound = p.bound_fingerprint(key, *place, entry["version"], kind, value)
    must_match(entry, "fingerprint", expected)
    must_match(entry, "binding_key", binding)
    must_match(entry, "bound", bound)
    must_match(entry, "stored", p.aes_wrap(storage, bound))
    (transfer,) = from_hex(entry, "transfer_key")
    must_match(entry, "moved_binding_key", p.aes_wrap(transfer, binding))
    return must_match(entry, "moved", p.aes_wrap(transfer, bound))


def check_comparison(_, entry, positive):
    def verify():
        nonce = p.b64_decode(entry["nonce"])
        document = p.parse_json(entry["text"])
        return p.verify_comparison(document, entry["vault"], nonce, entry["count"], pins_of(entry))

    return must_be(verify(), entry["results"]) if positive else must_refuse(verify)


def check_credential(_, entry, positive):
    if not positive:
        return must_refuse(lambda: p.parse_credential(entry["credential"]))
    must_be(p.parse_credential(entry["credential"]).hex(), entry["secret"])
    return must_be(p.make_credential(bytes.fromhex(entry["secret"])), entry["credential"])


def check_token_info(_, entry, positive):
    if positive == (p.token_info(entry["claims"]).hex() != entry["info"]):
        raise AssertionError("info differs" if positive else "this must not be info")


def keyed(jwks):
    keys = map(p.parse_jwk, jwks)
    return {p.kid_of(key): key for key in keys}


def check_access_token(context, entry, positive):
    issuer, vault = entry.get("issuer", context["issuer"]), entry.get("vault", context["vault"])
    now, keys = entry.get("now", context["now"]), keyed(context["token_signing_keys"])
    seals = {
        seal["kid"]: X25519PrivateKey.from_private_bytes(p.b64_decode(seal["private_key"]))
        for seal in context["living_seal_keys"]
    }

    def verify():
        return p.verify_access_token(entry["token"], now, issuer, vault, keys)

    if not positive and entry["stage"] == "verify":
        return must_refuse(verify, entry["code"])
    kid, claims = verify()
    if not positive:
        return must_refuse(lambda: p.open_release_keys(claims, seals), entry["code"])
    must_be(kid, entry["kid"])
    must_be({name: claims[name] for name in entry["claims"]}, entry["claims"])
    return must_be([rk.hex() for rk in p.open_release_keys(claims, seals)], entry["release_keys"])


def check_command(context, entry, positive):
    identities, body = keyed([context["manager_identity"]]), bytes.fromhex(entry["body"])
    place = context["now"], context["issuer"], context["vault"], identities

    def verify():
        return p.verify_command(entry["command"], body, *place)

    return must_be(verify(), entry["op"]) if positive else must_refuse(verify)


def check_event(context, entry, positive):
    place = context["now"], context["issuer"], context["vault"], keyed([context["manager_identity"]])
    if not positive:
        chain = p.Chain()
        for compact in context["chain"]:
            chain.apply(compact, *place)
        return must_refuse(lambda: chain.apply(entry["event"], *place), entry["code"])
    seq, prev, kind, payload, _ = p.verify_event(entry["event"], *place)
    must_be((seq, prev.hex()), (entry["seq"], entry["prev"]))
    must_be((kind, payload), (entry["kind"], entry["payload"]))
    must_be(p.event_hash(entry["event"]).hex(), entry["hash"])
    chain = p.Chain()
    for compact in context["positive"][: seq - 1]:
        chain.apply(compact, *place)
    must_be(chain.head(), prev)
    chain.apply(entry["event"], *place)
    chain.apply(entry["event"], *place)
    return must_be((chain.applied, chain.head().hex()), (seq, entry["hash"]))


def check_feed_snapshot(context, entry, positive):
    place = context["now"], context["issuer"], context["vault"], keyed([context["manager_identity"]])
    chain = p.Chain()
    for compact in entry["applied"]:
        chain.apply(compact, *place, dropped_below=p.MAX_INTEGER)

    def follow():
        for compact in entry["events"]:
            chain.apply(compact, *place, dropped_below=entry["dropped_below"])

    if not positive:
        return must_refuse(follow, entry["code"])
    follow()
    must_be((chain.applied, chain.head().hex()), (entry["number"], entry["hash"]))
    return must_be((chain.lasting().hex(), chain.passed_over), (entry["lasting"], entry["revoked_below"]))


def check_revocation(context, entry, positive):
    place = context["now"], context["issuer"], context["vault"], keyed([context["manager_identity"]])
    chain = p.Chain()
    for compact in entry["events"]:
        chain.apply(compact, *place)
    token, asked = entry["token"], entry["asked"]

    def check():
        chain.check(token["kid"], token, asked["secret"][4:], asked["version"])

    return check() if positive else must_refuse(check, entry["code"])


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


def published_checks():
    """(name, callable) for every published vector."""
    for case in published.load("nist-kw-ad-256"):
        key, wrapped = from_hex(case, "key", "wrapped")

        def nist(case=case, key=key, wrapped=wrapped):
            if "data" not in case:
                return must_refuse(lambda: p.aes_unwrap(key, wrapped, len(wrapped)))
            must_be(p.aes_wrap(key, bytes.fromhex(case["data"])), wrapped)
            return must_be(p.aes_unwrap(key, wrapped, len(wrapped)).hex(), case["data"])

        yield f"published NIST KW AD 256 {case['name']}", nist
    for case in published.load("rfc-3394"):

        def rfc3394(case=case):
            key, data, wrapped = from_hex(case, "key", "data", "wrapped")
            must_be(p.aes_wrap(key, data), wrapped)
            must_be(keywrap.aes_key_unwrap(key, wrapped), data)

        yield f"published {case['name']}", rfc3394
    for case in published.load("rfc-5869"):

        def rfc5869(case=case):
            prk, info = from_hex(case, "prk", "info")
            must_be(p.HKDFExpand(p.hashes.SHA256(), case["length"], info).derive(prk).hex(), case["okm"])

        yield f"published {case['name']}", rfc5869
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    for case in published.load("rfc-9180"):

        def rfc9180(case=case):
            info, enc, aad, ct, pt = from_hex(case, "info", "enc", "aad", "ct", "pt")
            recipient = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["recipient_private_key"]))
            ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["ephemeral_private_key"]))
            must_be(p.hpke_open(recipient, info, enc + ct, aad), pt)
            must_be(p.hpke_seal(recipient.public_key(), info, pt, ephemeral, aad), enc + ct)
            must_be(
                p.b64(recipient.public_key().public_bytes_raw()), p.b64(bytes.fromhex(case["recipient_public_key"]))
            )
            # The package's own HPKE has no aad; ours has none either in the protocol.
            must_be(suite.decrypt(p.hpke_seal(recipient.public_key(), info, pt), recipient, info=info), pt)
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(case["recipient_public_key"]))
            must_be(p.hpke_open(recipient, info, suite.encrypt(pt, public, info=info)), pt)

        yield f"published {case['name']}", rfc9180
    for number, case in enumerate(published.all_nist_keywrap()):

        def every(case=case):
            key, wrapped = from_hex(case, "k", "c")
            if case.get("fail"):
                return must_refuse(lambda: p.aes_unwrap(key, wrapped, len(wrapped)))
            must_be(p.aes_wrap(key, bytes.fromhex(case["p"])), wrapped)
            return must_be(p.aes_unwrap(key, wrapped, len(wrapped)).hex(), case["p"])

        yield f"package NIST KW {number}", every


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", action="store_true", help="write shared-proto/vectors/published/ first")
    if parser.parse_args().export:
        published.export()
    passed, failed = collections.Counter(), []

    def run(group, name, call):
        try:
            call()
            passed[group] += 1
        except Exception as error:  # any surprise is a failed vector, and the others still run
            failed.append(name)
            print(f"FAILED {group}: {name}: {type(error).__name__}: {error}")

    names = {path.stem for path in VECTORS.glob("*.json")}
    for missing in sorted(names ^ set(CHECKS)):
        failed.append(missing)
        print(f"FAILED {missing}: a file without a check, or a check without a file")
    for name in sorted(names & set(CHECKS)):
        document = json.loads((VECTORS / f"{name}.json").read_text())
        context = document.get("context", {})
        if name == "event":
            context["positive"] = [entry["event"] for entry in document["positive"]]
            context["chain"] = context["positive"][: context["applied"]]
        for group in ("positive", "negative"):
            for entry in document[group]:
                label = f"{name}/{group}/{entry['name']}"
                call = functools.partial(CHECKS[name], context, entry, group == "positive")
                run(f"{name} {group}", label, call)
    for name, call in published_checks():
        run(" ".join(name.split()[:2]), name, call)
    for group, count in passed.items():
        print(f"{group}: {count}")
    print(f"{passed.total()} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
