#!/usr/bin/env python3
"""Proves that the thief can steal: on loot made with the Python implementation of the protocol he opens every value
when he has all the pieces, and nothing when one is missing. Also that damaged files do not stop him, and tamper.py.

The last line is "N passed, N failed"; the exit code is 1 if anything failed.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import canary
import guesses
import postgres
import tables
import tamper
from loot import p
from tables import dump_of
from thief import rob

NOW = 1_800_000_000
RANDOM = random.Random(1)
VAULT, MANAGER, ENVIRONMENT, OTHER_ENVIRONMENT = (RANDOM.randbytes(16) for _ in range(4))
VAULT_ID, ENVIRONMENT_ID = p.format_id("vlt", VAULT), p.format_id("env", ENVIRONMENT)
ISSUER = p.issuer_of("production", p.format_id("mgr", MANAGER))
CANARY = "canary-7d1c9a: 100% gefährlich".encode()


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


class Installation:
    """Both services' files as section 11 describes them, with four values in two environments, and their traffic."""

    def __init__(self, folder):
        self.folder = folder
        self.transport, self.signing = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        self.identity, self.seal = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.storage_key, self.transfer_key = RANDOM.randbytes(32), RANDOM.randbytes(32)
        self.roots = {ENVIRONMENT: RANDOM.randbytes(32), OTHER_ENVIRONMENT: RANDOM.randbytes(32)}
        first, second, third = (RANDOM.randbytes(16) for _ in range(3))
        self.values = {
            (ENVIRONMENT, first, 1): b"the old value",
            (ENVIRONMENT, first, 2): CANARY,
            (ENVIRONMENT, second, 1): b"\xff\x00 not text",
            (OTHER_ENVIRONMENT, third, 1): b"x" * 3_000,
        }
        self.envelopes = {}
        for (environment, secret, version), value in self.values.items():
            sealed = p.seal_envelope(VAULT, environment, secret, version, self.roots[environment], p.BYTES, value)
            self.envelopes[(environment, secret, version)] = sealed
        self.credential_key = RANDOM.randbytes(32)
        self.write_vault()
        self.write_manager()
        self.write_traffic()
        write(folder / "tokens/one.jwt", self.token([(ENVIRONMENT, first, 2)]))

    def release_key(self, place):
        return p.release_key(self.roots[place[0]], self.envelopes[place]["digest"])

    def bound(self, environment, secret, version):
        value = self.values[(environment, secret, version)]
        key = p.fingerprint_key(self.credential_key)
        return p.bound_fingerprint(key, VAULT, environment, secret, version, p.BYTES, value)

    def token(self, places):
        claims = {"iss": ISSUER, "sub": p.format_id("usr", bytes(16)), "aud": VAULT_ID, "exp": NOW + 900, "nbf": NOW}
        claims |= {"iat": NOW, "jti": p.b64(RANDOM.randbytes(16)), "client_id": p.format_id("crd", bytes(16))}
        claims |= {"env": p.b64(places[0][0]), "grants": [[p.b64(s), v] for _, s, v in places], "rseq": 0}
        rks = [self.release_key(place) for place in places]
        return p.sign_jws("token", self.signing, p.seal_release_keys(claims, [self.seal.public_key()], rks))

    def write_vault(self):
        folder = self.folder
        write(folder / "vault-keys/transport.pem", pem(self.transport))
        write(folder / "vault-keys/identity.pem", pem(self.identity))
        write(folder / "vault-keys/identity.json", json.dumps({"id": VAULT_ID, "mode": "production"}))
        write(folder / "vault-keys/storage-keys/1.key", p.b64(self.storage_key) + "\n")
        kid = p.kid_of(self.seal.public_key())
        seal = {"kid": kid, "private_key": p.b64(self.seal.private_bytes_raw()), "made_at": NOW, "boot_id": "b"}
        write(folder / f"vault-runtime/seal-{kid}.json", json.dumps(seal))
        write(folder / "vault-runtime/mark.json", json.dumps({"applied": 0, "event_hash": p.b64(bytes(32))}))
        (folder / "vault-data").mkdir()
        connection = sqlite3.connect(folder / "vault-data/vault.db")
        connection.executescript(
            """CREATE TABLE envelopes(secret_id BLOB, version INTEGER, environment_id BLOB, digest BLOB,
                 key_commitment BLOB CHECK(length(key_commitment) = 32), nonce BLOB, ciphertext BLOB, stored_at INTEGER,
                 PRIMARY KEY(secret_id, version));
               CREATE TABLE wrapped_keys(secret_id BLOB, version INTEGER, epoch INTEGER, storage_key INTEGER,
                 wrapped BLOB, PRIMARY KEY(secret_id, version, epoch));
               CREATE TABLE value_fingerprints(secret_id BLOB, version INTEGER, storage_key INTEGER, wrapped BLOB,
                 PRIMARY KEY(secret_id, version));
               CREATE TABLE tombstones(secret_id BLOB, version INTEGER, environment_id BLOB, created_at INTEGER,
                 PRIMARY KEY(secret_id, version));
               CREATE TABLE events(seq INTEGER PRIMARY KEY, compact TEXT);
               CREATE TABLE statements(position INTEGER PRIMARY KEY, document TEXT);
               CREATE TABLE installation(vault_id BLOB, mode TEXT);"""
        )
        for (environment, secret, version), e in self.envelopes.items():
            row = (secret, version, environment, e["digest"], e["commit"], e["nonce"], e["ciphertext"], NOW)
            connection.execute("INSERT INTO envelopes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            wrapped = (secret, version, 1, 1, p.aes_wrap(self.storage_key, e["inner"]))
            connection.execute("INSERT INTO wrapped_keys VALUES (?, ?, ?, ?, ?)", wrapped)
            bound = p.aes_wrap(self.storage_key, self.bound(environment, secret, version))
            connection.execute("INSERT INTO value_fingerprints VALUES (?, ?, 1, ?)", (secret, version, bound))
        connection.execute("INSERT INTO installation VALUES (?, 'production')", (VAULT,))
        for seq in (1, 2):
            connection.execute("INSERT INTO events VALUES (?, ?)", (seq, f"compact form {seq}"))
        connection.commit()
        connection.close()

    def write_manager(self):
        folder = self.folder
        write(folder / "manager-keys/token-signing.pem", pem(self.signing))
        self.credential, credential_key = RANDOM.randbytes(32), self.credential_key
        write(folder / "manager-keys/credential-hmac.key", p.b64(credential_key) + "\n")
        write(folder / "manager-keys/pins/vault.json", json.dumps({"id": VAULT_ID, "mode": "production"}))
        for environment, root in self.roots.items():
            write(folder / f"manager-keys/root-keys/{p.format_id('env', environment)}.1.key", p.b64(root) + "\n")
        (folder / "manager-data").mkdir()
        connection = sqlite3.connect(folder / "manager-data/manager.db")
        connection.execute("CREATE TABLE registry_records(kind TEXT, id TEXT, body TEXT)")
        proof = {"type": "opaque", "hmac": p.b64(hmac.digest(credential_key, self.credential, "sha256"))}
        record = json.dumps({"credential_id": "crd_1", "proof": proof})
        connection.execute("INSERT INTO registry_records VALUES ('credential', 'crd_1', ?)", (record,))
        connection.execute("CREATE TABLE secrets(secret_id BLOB, environment_id BLOB, path TEXT)")
        connection.execute("CREATE TABLE envelopes(secret_id BLOB, envelope INTEGER, digest BLOB)")
        for number, ((environment, secret, version), e) in enumerate(self.envelopes.items()):
            connection.execute("INSERT INTO secrets VALUES (?, ?, ?)", (secret, environment, f"payments/key-{number}"))
            connection.execute("INSERT INTO envelopes VALUES (?, ?, ?)", (secret, version, e["digest"]))
        connection.commit()
        connection.close()

    def store_request(self, bare=False):
        envelopes = []
        for (environment, secret, version), e in self.envelopes.items():
            moved = e["inner"] if bare else p.aes_wrap(self.transfer_key, e["inner"])
            place = {"environment": p.format_id("env", environment), "secret_id": p.format_id("sec", secret)}
            pieces = {name: p.b64(e[name]) for name in ("digest", "commit", "nonce", "ciphertext")}
            pieces["fingerprint"] = p.b64(p.aes_wrap(self.transfer_key, self.bound(environment, secret, version)))
            envelopes.append({**place, "version": version, "epoch": 1, "moved": p.b64(moved), **pieces})
        wrapped = p.wrap_transfer_key(self.transport.public_key(), self.transfer_key)
        kid = p.kid_of(self.transport.public_key())
        return {"transfer_key": p.b64(wrapped), "transport_kid": kid, "envelopes": envelopes}

    def write_traffic(self, bare=False):
        body = p.compact_json(self.store_request(bare))
        record = {"method": "POST", "path": "/api/commands", "headers": {"authorization": f"Bearer {VAULT_ID}"}}
        record |= {"request_body_b64": base64.b64encode(body).decode(), "response_body_b64": ""}
        write(self.folder / "traffic/1.json", json.dumps(record))

    def all_values(self):
        return {(p.format_id("sec", s), v): value for (_, s, v), value in self.values.items()}


PASSED, FAILED = [], []


def check(name, holds):
    (PASSED if holds else FAILED).append(name)
    if not holds:
        print(f"FAILED: {name}")


@contextlib.contextmanager
def stolen(installation, *parts):
    """A loot directory with some of the installation's files."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for part in parts:
            source, target = installation.folder / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        yield folder


def opened_by(folder):
    report = rob("test", folder)
    return {(o["secret_id"], o["version"]): base64.b64decode(o["value_b64"]) for o in report["opened"]}, report


VAULT_DISK = ("vault-data", "vault-keys")
MANAGER_DISK = ("manager-data", "manager-keys")


def test_scenarios(one):
    everything = one.all_values()
    token_value = {place: value for place, value in everything.items() if value == CANARY}

    def case(name, parts, expected, change=None):
        with stolen(one, *parts) as folder:
            if change:
                change(folder)
            got, report = opened_by(folder)
            check(f"{name}: opens {len(expected)}", got == expected)
            names = {f"payments/key-{number}" for number in range(4)} if "manager-data" in parts else set()
            check(f"{name}: names", set(report["names"]) == names)

    case("S1", ["vault-data"], {})
    case("S3", [*VAULT_DISK, "vault-runtime"], {})
    case("S3 and a token", [*VAULT_DISK, "vault-runtime", "tokens"], token_value)
    case("S3 and traffic", [*VAULT_DISK, "vault-runtime", "traffic"], {})
    case("S4", [*VAULT_DISK, "vault-runtime/mark.json", "traffic", "tokens"], {})
    case("S4 control: seal keys kept", [*VAULT_DISK, "vault-runtime", "traffic", "tokens"], token_value)
    seven = [*MANAGER_DISK, "tokens", "traffic"]
    case("S7", seven, {})
    case("S7 control: transfer key kept", seven, everything, lambda f: write(f / "manager-data/tk", one.transfer_key))
    as_hex = f"transfer = {one.transfer_key.hex()}\n"
    case("S7 control: transfer key in a log", seven, everything, lambda f: write(f / "manager-data/log", as_hex))
    case("S7 and the transport key", [*seven, "vault-keys/transport.pem"], everything)
    case("S7 without root keys, and the transport key", ["manager-data", "tokens", "traffic", "vault-keys"], {})
    with stolen(one, *seven) as folder:
        body = json.dumps(one.store_request(bare=True)).encode()
        record = {"method": "POST", "path": "", "headers": {}, "response_body_b64": None}
        write(folder / "traffic/1.json", json.dumps([{**record, "request_body_b64": base64.b64encode(body).decode()}]))
        check("S7 control: inner sent bare", opened_by(folder)[0] == everything)
    eleven = [*MANAGER_DISK, "vault-data"]
    case("S11", eleven, {})

    def keep_key(folder):
        connection = sqlite3.connect(folder / "vault-data/vault.db")
        connection.execute("CREATE TABLE settings(item TEXT, value BLOB)")
        connection.execute("INSERT INTO settings VALUES ('storage', ?)", (one.storage_key,))
        connection.commit()
        connection.close()

    case("S11 control: storage key in the database", eleven, everything, keep_key)
    case("S17: everything", [*VAULT_DISK, "vault-runtime", *MANAGER_DISK, "traffic", "tokens"], everything)
    full = ["vault-data", "vault-keys/storage-keys", "manager-keys/root-keys"]
    case("the three pieces", full, everything)
    for piece in full:
        case(f"the three pieces without {piece}", [part for part in full if part != piece], {})
    one_root = f"manager-keys/root-keys/{ENVIRONMENT_ID}.1.key"
    others = {p.format_id("sec", s) for (e, s, _) in one.values if e == ENVIRONMENT}
    expected = {place: value for place, value in everything.items() if place[0] in others}
    case("the root key of one environment", [*full[:2], one_root], expected)
    leaf = next(iter(one.values))
    rk_file = [*VAULT_DISK]
    case(
        "a release key in a file",
        rk_file,
        {(p.format_id("sec", leaf[1]), leaf[2]): one.values[leaf]},
        lambda f: write(f / "rk", p.b64(one.release_key(leaf))),
    )


def test_wal(one):
    """Rows that only the write-ahead log has yet, and rows that it has deleted."""
    full = ("vault-data", "vault-keys", "manager-keys")
    with stolen(one, *full) as folder:
        path = folder / "vault-data/vault.db"
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for table in ("envelopes", "wrapped_keys"):
            connection.execute(f"DELETE FROM {table} WHERE version = 2")
        connection.commit()
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            check("rows deleted in the log are found", opened_by(pathlib.Path(copy))[0] == one.all_values())
        connection.close()
    with stolen(one, *full) as folder:
        rows = {}
        connection = sqlite3.connect(folder / "vault-data/vault.db")
        for table in ("envelopes", "wrapped_keys"):
            rows[table] = connection.execute(f"SELECT * FROM {table}").fetchall()
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for table, found in rows.items():
            marks = ", ".join("?" * len(found[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", found)
        connection.commit()
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            check("rows that only the log has are found", opened_by(pathlib.Path(copy))[0] == one.all_values())
        connection.close()


def test_dump(one):
    """A dump of PostgreSQL says what a database says, and pages of its files what was deleted."""
    with stolen(one, "vault-data", "vault-keys", *MANAGER_DISK) as folder:
        for place in ("vault-data/vault.db", "manager-data/manager.db"):
            write((folder / place).with_name("dump.sql"), dump_of(folder / place))
            (folder / place).unlink()
        got, report = opened_by(folder)
        check("the dump of a database opens as it", got == one.all_values() and not report["notes"])
        names = {f"payments/key-{number}" for number in range(len(one.envelopes))}
        check("and has its names", names <= set(report["names"]))
        (folder / "vault-keys/storage-keys/1.key").unlink()
        check("without the storage key nothing opens", opened_by(folder)[0] == {})
        noise = bytes(3_000) + b"C" * 500 + RANDOM.randbytes(5_000)
        for file in ("base/16384/16390", "pg_wal/000000010000000000000001"):
            write(folder / "vault-data/server" / file, noise + postgres.SHORT[32] + one.storage_key + noise)
            check(f"a key that lies in {file} opens", opened_by(folder)[0] == one.all_values())
            (folder / "vault-data/server" / file).unlink()


def test_damage(one):
    parts = (*VAULT_DISK, "vault-runtime", *MANAGER_DISK, "traffic", "tokens")
    with stolen(one, *parts) as folder:
        write(folder / "vault-data/broken.db", b"SQLite format 3\0" + RANDOM.randbytes(5_000))
        write(folder / "vault-keys/broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        write(folder / "traffic/broken.json", '{"request_body_b64": "%%%", "headers": 3')
        write(folder / "traffic/odd.json", '{"request_body_b64": 5, "headers": null, "secret_id": []}')
        write(folder / "tokens/broken.jwt", "a.b.c")
        write(
            folder / "tokens/odd.jwt",
            f"{p.b64(b'{}' * 20)}.{p.b64(json.dumps({'seals': 3, 'rk': []}).encode())}.{'A' * 40}",
        )
        write(folder / "vault-runtime/seal-x.json", "[]")
        write(folder / "noise", RANDOM.randbytes(10_000))
        envelope = {**one.store_request()["envelopes"][0], "nonce": "?", "version": "x"}
        write(folder / "envelope.json", json.dumps(envelope))
        connection = sqlite3.connect(folder / "vault-data/vault.db")
        connection.execute("INSERT INTO envelopes VALUES (NULL, 'x', 3, '', zeroblob(32), NULL, 5, NULL)")
        row = (RANDOM.randbytes(16), -1, b"", b"", bytes(32), b"n", b"c", 0)
        connection.execute("INSERT INTO envelopes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
        connection.close()
        got, report = opened_by(folder)
        check("damage does not stop him", got == one.all_values() and report["notes"])
        database = folder / "vault-data/vault.db"
        database.write_bytes(database.read_bytes()[:5_000])
        check("a truncated database does not stop him", isinstance(opened_by(folder)[1], dict))
    with tempfile.TemporaryDirectory() as folder:
        check("no loot, no value", opened_by(pathlib.Path(folder))[0] == {})


def test_canary():
    value = b"canary/9f+3 \xc3\xa9%?&"
    word = b"canary-9f3ae2b8"
    percent = "".join(f"%{byte:02x}" for byte in value).encode()
    for name, data in {
        "raw": b"before " + value + b" after",
        "hex": b"x" + value.hex().encode() + b"0",
        "hex, capitals": b"f" + value.hex().upper().encode(),
        "base64": b"data: " + base64.b64encode(value),
        "base64url": base64.urlsafe_b64encode(value).rstrip(b"="),
        "base64, one byte before": base64.b64encode(b"." + value),
        "base64, two bytes before and after": base64.b64encode(b".." + value + b".."),
        "percent": b"/a?b=" + percent,
    }.items():
        hits = canary.search([("f", data)], hashlib.sha256(value).digest(), len(value))
        check(f"canary: {name}", bool(hits))
    for name, data in {
        "raw": b'{"a":"' + word + b'"}',
        "hex": word.hex().encode(),
        "base64": base64.b64encode(word),
        "base64 of JSON": base64.b64encode(b'{"a":"' + word + b'"}'),
    }.items():
        check(f"canary, length unknown: {name}", bool(canary.search([("f", data)], hashlib.sha256(word).digest())))
    noise = RANDOM.randbytes(20_000)
    check("canary: not in noise", not canary.search([("f", noise)], hashlib.sha256(value).digest(), len(value)))


def test_command_line(one):
    script = pathlib.Path(__file__).with_name("thief.py")
    with stolen(one, "vault-data", "vault-keys", "manager-keys") as folder:
        out = folder.parent / f"{folder.name}.json"
        digest = hashlib.sha256(CANARY).hexdigest()
        command = [sys.executable, script, "S17", "--loot", folder, "--json", out, "--canary-sha256", digest]
        done = subprocess.run([*command, "--canary-length", str(len(CANARY))], capture_output=True, text=True)
        report = json.loads(out.read_text())
        out.unlink()
        check("the program ends with 0", done.returncode == 0)
        check("the program writes its report", len(report["opened"]) == 4 and report["scenario"] == "S17")
        check("the canary is among the opened", {hit["file"][:6] for hit in report["canary"]} == {"opened"})


def test_credentials(one):
    text = "spv_" + p.b64(one.credential + hashlib.sha256(one.credential).digest()[:4])
    for what, planted, found in (
        ("the hash alone", None, []),
        ("the text", f"curl -H 'Authorization: Bearer {text}'", [one.credential.hex()]),
        ("the bytes", one.credential, [one.credential.hex()]),
        ("in hex", one.credential.hex(), [one.credential.hex()]),
    ):
        with stolen(one, *MANAGER_DISK) as folder:
            if planted:
                write(folder / "manager-data/history", planted)
            report = rob("test", folder)
            check(f"credentials, {what}", report["credentials"] == found)
            check(f"records, {what}", report["pieces"]["registry_records"] == 1)


def vault_opens(one, path, place):
    """What a vault answers for a token that names `place`: it reads the row by secret and version."""
    environment, secret, version = place
    connection = sqlite3.connect(path)
    try:
        query = "SELECT key_commitment, nonce, ciphertext FROM envelopes WHERE secret_id = ? AND version = ?"
        row = connection.execute(query, (secret, version)).fetchone()
        query = "SELECT wrapped FROM wrapped_keys WHERE secret_id = ? AND version = ? ORDER BY epoch DESC"
        wrapped = connection.execute(query, (secret, version)).fetchall()
    finally:
        connection.close()
    for (stored,) in wrapped if row else ():
        with contextlib.suppress(p.Refused):
            pieces = (one.storage_key, one.release_key(place), stored, *row)
            return p.open_envelope(VAULT, environment, secret, version, *pieces)[1]
    return None


def test_tamper(one):
    original = one.folder / "vault-data/vault.db"
    listed = tamper.listing(original)
    check("the list is always the same", listed == tamper.listing(original))
    check("another seed, other bits", listed != tamper.listing(original, seed="2"))
    kinds = {item["kind"] for item in listed}
    expected = {
        "swap",
        "copy",
        "swap whole",
        "serve as",
        "delete",
        "truncate",
        "flip",
        "empty",
        "forget the newest events",
    }
    check("all kinds are there", expected <= kinds)
    columns = tamper.Database(original).columns["envelopes"]
    details = [item["detail"] for item in listed]
    check("every column is altered", all(any(column in detail for detail in details) for column in columns))
    wrong, unchanged, denied = [], [], 0
    before = tamper.Database(original).rows
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "vault.db"
        for item in listed:
            shutil.copyfile(original, path)
            tamper.apply(path, item["index"])
            if tamper.Database(path).rows == before:
                unchanged.append(item)
            for place, value in one.values.items():
                got = vault_opens(one, path, place)
                denied += got is None
                if got not in (None, value):
                    wrong.append((item, place))
    check(f"{len(listed)} tamperings: no other value is served", not wrong)
    check(f"tamperings deny ({denied} times)", denied > len(listed) // 2)
    check(f"each tampering changes something, but {[item['detail'] for item in unchanged][:5]}", not unchanged)
    script = pathlib.Path(__file__).with_name("tamper.py")
    done = subprocess.run([sys.executable, script, "--database", original, "--list"], capture_output=True, text=True)
    check("the program lists as many", len(done.stdout.splitlines()) == len(listed))


def main():
    with tempfile.TemporaryDirectory() as folder:
        one = Installation(pathlib.Path(folder))
        test_scenarios(one)
        test_wal(one)
        test_dump(one)
        test_damage(one)
        test_command_line(one)
        test_tamper(one)
        test_credentials(one)
        guesses.test(one, stolen, check)
    test_canary()
    tables.test(check)
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(bool(FAILED))


if __name__ == "__main__":
    main()
