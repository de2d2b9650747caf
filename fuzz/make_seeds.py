#!/usr/bin/env python3
"""Writes the seed corpora, fuzz/seeds/<target>/, anew from shared-proto/vectors and the texts below.

Seeds are few and small: the fuzzer changes them, and keeps what it finds in the build directory. No seed holds a key
that is in use anywhere.
"""

import base64
import json
import pathlib
import shutil
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "shared-proto" / "vectors"
FEW = 6


def vectors(name, kind="positive"):
    return json.loads((VECTORS / f"{name}.json").read_text())[kind]


def spread(items, count=FEW):
    """`count` of the items, from the first to the last."""
    items = list(items)
    step = max(1, len(items) // count)
    return items[::step][:count]


def payload(compact):
    part = compact.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def compact(name, member):
    good = [entry[member] for entry in vectors(name)]
    smallest = sorted(good, key=len)[:3]
    near = [entry[member] for entry in spread(vectors(name, "negative"), 3)]
    # As a token, and as the claims of one; fewer tokens, because nobody can sign them here.
    return [*smallest[:1], *near[:2], *(payload(text) for text in smallest + spread(good, 3))]


def texts(name, member="text", limit=900):
    return [entry[member] for entry in vectors(name) if len(entry[member]) <= limit]


SECRET = "sec_oxOWVv1CMnimDzkbyT2sXA"
BODIES = [
    {"user_id": "user123", "key_data": "HUNTER2"},
    {"user_id": "user123", "key_data": "aHVudGVyMg==", "encoding": "base64", "path": "db/password",
     "environment": "dev", "token": False},
    {"secrets": [{"key_id": SECRET}, {"key_id": "sec_41j03deaNM6JE8dLW_D2gg", "version": 2}], "user_id": "HUNTER2",
     "life_seconds": 60},
    {"secrets": [[SECRET, 1]]},
    {"secrets": [{"environment": "dev", "path": "a.b", "stage": "current"}]},
    {"rows": [{"digest": "A" * 43, "moved": "A" * 64}, {"error": "secret_not_found"}]},
    {"rows": [["A" * 43, "A" * 64]]},
    {"keys": [{"key_id": SECRET, "version": 1, "encoding": "text", "decrypted_key": "HUNTER2"},
              {"key_id": SECRET, "code": "secret_not_found"}]},
    {"kind": "token", "jti": "e2XGg0os6TjtNWxtIg4j3w"},
    {"kind": "version", "key_id": SECRET, "version": 3},
    {"kind": "all"},
    {"versions": [1, 2]},
    {"adopt": True},
    {"key_ids": [SECRET]},
    {"user_id": "HUNTER2", "key_data": 1, "HUNTER2": ["HUNTER2", {"HUNTER2": None}]},
]
COMMANDS = [
    {"nonce": "kFYrw4pDvyzxQ1arP7wwow", "newest": 0, "newest_hash": "A" * 43, "seal_key": None, "statements": [],
     "instance": "kFYrw4pDvyzxQ1arP7wwow", "pins": []},
    {"nonce": "kFYrw4pDvyzxQ1arP7wwow", "events": ["a.b.c"]},
    {"after": 0, "limit": 256},
    {"versions": [{"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1}]},
    {"after": {"secret_id": SECRET, "version": 1}, "limit": 1},
    {"after": [SECRET, 1], "limit": 1},
    {"versions": [["env_Ml06QyPiCkikrdAdwc2cKQ", SECRET, 1]]},
    {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "epoch": 2},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "epoch": 1, "versions": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1}]},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "epoch": 2, "rows": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "digest": "A" * 43,
         "moved": "A" * 64}]},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "envelopes": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "epoch": 1, "digest": "A" * 43,
         "moved": "A" * 64, "commit": "A" * 43, "nonce": "A" * 16, "ciphertext": "AAAA"}]},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "envelopes": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "epoch": 1, "digest": "A" * 43,
         "moved": "A" * 64, "commit": "A" * 43, "nonce": "A" * 16, "ciphertext": "AAAA", "fingerprint": "A" * 64}]},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "nonce": "kFYrw4pDvyzxQ1arP7wwow", "values": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "fingerprint": "A" * 64}]},
    {"transfer_key": "AAAA", "transport_kid": "A" * 43, "nonce": "kFYrw4pDvyzxQ1arP7wwow", "one":
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "binding_key": "A" * 54},
     "others": [
        {"environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 2, "binding_key": "A" * 54}]},
]
CONFIGURATIONS = [
    'mode = "production"\nlisten = "127.0.0.1:8001"\ndata_dir = "data"\nworkers = 2\n[audit]\nsync = "os"\n'
    "[danger]\nplain_http = false\n",
    'mode = "development"\ndata_dir = "HUNTER2"\n',
    'mode = "HUNTER2"\ndata_dir = 1\nHUNTER2 = "HUNTER2"\n[HUNTER2]\n',
    "mode = HUNTER2",
]
NAMES = ["db/primary/password", "ünïcode/é", "e\u0301", "a/../b", "unnamed/x", "staging-1", "user 123", '"vlt_', "17",
         "urn:splitvault:production:mgr_KWIpoFdly5QHXUEC3mp_Fg"]

JWT = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJzdWIiOiJzdmNfQUFBQUFBQUFBQUFBQUFBQUFBQUFBQSJ9.AAAA"
DETAILS = '[{"type":"splitvault_secrets","secrets":[{"key_id":"' + SECRET + '","version":2},' \
    '{"environment":"dev","path":"a/b","stage":"current"}]}]'
SIGN_ON = [
    JWT, "spe_AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAA3-OSXP", "sps_AAA", "ABCDE-FGHIJ-KLMNO-PQRST",
    '{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
    '{"keys":[{"kty":"EC","crv":"P-256","kid":"b","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
    '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}',
    "https://issuer.example:8443/keys?a=b", "https://169.254.169.254/", "lamps under seventeen rivers",
    "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
    "Basic c3ZjOnNwdl9zZWNyZXQ=\ngrant_type=client_credentials&authorization_details=" + urllib.parse.quote(DETAILS),
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + JWT
    + "&authorization_details=" + urllib.parse.quote(DETAILS),
]

# The first byte chooses the kind, by its place in SecretKind::ALL.
KINDS = ["password", "api-key", "service-token", "ssh-key", "certificate", "database", "vpn", "oauth-client", "jwt",
         "session-secret", "webhook", "encryption-key", "signing-key", "backup-key", "json", "yaml", "text", "binary"]
PUBLIC = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
SECRET_KINDS = [
    ("ssh-key", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                "-----END PRIVATE KEY-----\n"),
    ("ssh-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh a@b\n"),
    ("signing-key", PUBLIC), ("certificate", "text\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ("encryption-key", "0123456789abcdef0123456789abcdef"), ("jwt", JWT),
    ("database", '{"host":"db","port":5432,"user":"app","password":"HUNTER2"}'), ("json", '{"password":"a","b":[1,{}]}'),
    ("json", '{"a":"sv://dev/a#f@1","b":"x${sv://dev/b}y"}'), ("yaml", "a: &x sv://dev/a\nb: [*x, 'c']\n"),
    ("yaml", "? {a: 1}\n: |\n  text\n--- !t\n- \"b\"\n"), ("text", "sv://dev/a%23b@previous\n"), ("api-key", "acme_" + "a" * 38),
    ("text", '{"form":"key-pair","self_signed":{"names":[{"dns":"a"}],"days":1}}'),
]

# The first byte chooses the format.
IMPORT = [
    b"\x00# comment\nexport A=HUNTER2\nB='HUNTER2 $x # y\nz'\nC=\"HUNTER2\\n\\\"\\\\\"\n",
    b"\x00A=HUNTER2 # b\nB=\nC=`x`\n",
    b'\x01{"db": {"user": "HUNTER2", "port": 5432}, "list": [1], "none": null, "yes": true}',
    b'\x01{"a": {"b": {"c": "HUNTER2"}}, "a/b": "HUNTER2"}',
    b"\x02tls:\n  key: |\n    HUNTER2\n    line\n  serial: 010\n  list: [a, {b: c}]\n",
    b"\x02a: &x HUNTER2\nb: *x\n",
    b"\x02a: !!str HUNTER2\n---\nb: c\n",
]

CORPORA = {
    "access_token": compact("access_token", "token"),
    "base64": ["", "AA", "AP8=", "-_-_", '"AAAAAAAAAAAAAAAA"', "A" * 43, "spv_AAA"],
    "bodies": [json.dumps(body) for body in BODIES] + texts("feed")[:1] + texts("receipt")[:1],
    "command": compact("command", "command") + [json.dumps(body) for body in COMMANDS],
    "configuration": CONFIGURATIONS,
    "credential": ["Bearer abc", "bearer  abc", "Basic YTpi"]
    + [f"Bearer {entry['credential']}" for entry in spread(vectors("credential"), 3)],
    "documents": spread(texts("statement"), 4) + texts("receipt")[:2] + texts("feed")[:2] + spread(texts("jwk"), 4)
    + ['{"id":"vlt_rKtnMJKXXqAA17azfhLesQ","mode":"production","key":{"kty":"OKP","crv":"Ed25519",'
       '"x":"QmTtrhrKOo-iWx2wDkwB-KHbrCbVJWYFUMUwMFBvRRE"}}'],
    "envelope": [b"", b"\x00\x00\x00", b"\x00\x00\x01\x00\x00\x01", b"\x00\x45\xff", b"\x00\x00\x00\x50"]
    + [bytes.fromhex(entry["frame"]) for entry in vectors("frame") if len(entry.get("frame", "x" * 999)) <= 512][:3],
    "event": compact("event", "event"),
    "import": IMPORT,
    "lp": [b"", b"\x00\x00\x00\x01a", b"\x01\x02ab\x01c" + b"\x00\x00\x00\x00\x00\x00\x00\x02xy" * 8],
    "names": NAMES + [entry["text"] for entry in spread(vectors("id"), 4)],
    "pem": ["-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
            "-----END PRIVATE KEY-----\n", "A" * 43 + "\n", b"\x00\x20A", b"\x01\x00=\x02\x00+"],
    "secret_kinds": [bytes([KINDS.index(kind)]) + text.encode() for kind, text in SECRET_KINDS],
    "sign_on": SIGN_ON,
}

for target, seeds in CORPORA.items():
    folder = HERE / "seeds" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, seed in enumerate(seeds, start=1):
        (folder / f"{number:02}").write_bytes(seed if isinstance(seed, bytes) else seed.encode())
