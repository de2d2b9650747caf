"""What a thief finds in the files that he took: keys, wrapped keys, envelopes, tokens, names, vault ids.

It looks where section 11 of docs/protocol.md says that things are, and then everywhere else: each text, JSON string and
database value that has the length of a key is kept as a guess at one. A guess is tried in every place where it fits.
"""

import base64
import binascii
import json
import pathlib
import re
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import postgres

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "protocol"))
import splitvault_protocol as p  # noqa: E402

WORD = re.compile(rb"[A-Za-z0-9_+/=-]{22,}")
TOKEN = re.compile(rb"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}")
VAULT_ID = re.compile(rb"vlt_[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")
PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
CREDENTIAL = re.compile(rb"spv_([A-Za-z0-9_-]{48})(?![A-Za-z0-9_-])")
VIRTUAL = re.compile(rb"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)
NAME_COLUMNS = ("path", "name", "label", "title", "description", "user_id", "tag")


@dataclass(frozen=True)
class Envelope:
    """A row of `envelopes`, or an envelope of a recorded `store`."""

    environment: bytes
    secret: bytes
    version: int
    digest: bytes
    commit: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass
class Loot:
    keys: dict = field(default_factory=dict)  # 32 bytes → where; from the places that hold keys
    guesses: dict = field(default_factory=dict)  # 32 bytes → where; from everywhere else
    wrapped: dict = field(default_factory=dict)  # 48 bytes, `stored` or `moved` → where
    places: dict = field(default_factory=dict)  # a wrapped key → {(secret, version)}, where its place says so
    inners: dict = field(default_factory=dict)  # 40 bytes → where
    versions: set = field(default_factory=set)  # (environment, secret, version) that may have a fingerprint
    environments: dict = field(default_factory=dict)  # secret → environment, from the manager's catalogue
    numbers: set = field(default_factory=set)  # (secret, version) from there
    rsa_ciphertexts: dict = field(default_factory=dict)  # TK' → where
    rsa_keys: list = field(default_factory=list)
    envelopes: set = field(default_factory=set)
    tokens: list = field(default_factory=list)  # claims
    vaults: set = field(default_factory=set)  # 16 bytes
    names: set = field(default_factory=set)
    records: set = field(default_factory=set)  # (kind, id) of principals, credentials and policy
    hashes: set = field(default_factory=set)  # keyed hashes of credentials
    credentials: set = field(default_factory=set)  # plain ones
    rows: dict = field(default_factory=dict)  # (folder of the loot, table) → rows that were looked at
    tables: dict = field(default_factory=dict)  # folder of the loot → tables that were looked at to their end
    skipped: dict = field(default_factory=dict)  # folder of the loot → virtual tables, which were passed over
    files: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def add_place(self, wrapped, secret, version):
        self.places.setdefault(wrapped, set()).add((secret, version))

    def add_bytes(self, data, where, key=False):
        """Keep a byte string in every role that its length allows."""
        if len(data) == 32:
            (self.keys if key else self.guesses).setdefault(data, where)
        elif len(data) == 40:
            self.inners.setdefault(data, where)
        elif len(data) == 48:
            self.wrapped.setdefault(data, where)
        elif 256 <= len(data) <= 512 and len(data) % 64 == 0:
            self.rsa_ciphertexts.setdefault(data, where)

    def add_claims(self, claims):
        if isinstance(claims, dict) and {"seals", "rk"} <= set(claims) and claims not in self.tokens:
            self.tokens.append(claims)

    def add_text(self, data, where, key=False):
        """Words that decode to something of an interesting length; tokens; private keys; ids of vaults."""
        for match in PEM.finditer(data):
            try:
                private = load_pem_private_key(match.group(), None)
                if isinstance(private, rsa.RSAPrivateKey):
                    self.rsa_keys.append(private)
                else:
                    self.add_bytes(private.private_bytes_raw(), where, key=True)
            except (ValueError, TypeError, AttributeError) as error:
                self.notes.append(f"{where}: a private key that does not parse: {type(error).__name__}")
        for match in VAULT_ID.finditer(data):
            self.vaults.add(base64.urlsafe_b64decode(match.group()[4:] + b"=="))
        for match in TOKEN.finditer(data):
            self.add_claims(parse_loosely(decode_loosely(match.group().split(b".")[1])))
        for match in CREDENTIAL.finditer(data):
            self.credentials.add(decode_loosely(match.group(1))[:32])
        for match in WORD.finditer(data):
            for decoded in decodings(match.group()):
                self.add_bytes(decoded, where, key)

    def add_json(self, document, where):
        """Envelopes and claims at any depth."""
        if isinstance(document, list):
            for item in document:
                self.add_json(item, where)
        elif isinstance(document, dict):
            self.add_claims(document)
            self.add_envelope(document, where)
            self.add_fingerprint(document, where)
            if isinstance(document.get("hmac"), str):
                self.hashes.add(decode_loosely(document["hmac"].encode()))
            for name, value in document.items():
                if isinstance(value, (dict, list)):
                    self.add_json(value, where)
                elif isinstance(value, str) and name in ("private_key", "key", "secret_key", "transfer_key"):
                    self.add_text(value.encode("utf-8", "replace"), where, key=True)
                elif isinstance(value, str) and name in ("path", "name"):
                    self.names.add(value)

    def add_envelope(self, document, where):
        names = ("environment", "secret_id", "version", "digest", "commit", "nonce", "ciphertext")
        if set(names) <= set(document):
            try:
                environment, secret = (p.b64_decode(document[name][4:], 16) for name in names[:2])
                pieces = (p.b64_decode(document[name]) for name in names[3:])
                self.envelopes.add(Envelope(environment, secret, p.parse_version(document["version"]), *pieces))
                self.add_place(decode_loosely(str(document.get("moved")).encode()), secret, document["version"])
            except (p.Refused, TypeError) as error:
                self.notes.append(f"{where}: an envelope that does not parse: {error}")

    def add_fingerprint(self, document, where):
        """A bound fingerprint in a recorded command, or wherever else one is written down with its version."""
        names = ("environment", "secret_id", "version", "fingerprint")
        if set(names) <= set(document):
            try:
                environment, secret = (p.b64_decode(document[name][4:], 16) for name in names[:2])
                version, piece = p.parse_version(document["version"]), decode_loosely(document["fingerprint"].encode())
            except (p.Refused, TypeError, AttributeError) as error:
                self.notes.append(f"{where}: a fingerprint that does not parse: {error}")
                return
            self.versions.add((environment, secret, version))
            self.add_place(piece, secret, version)

    def add_traffic(self, record, where):
        """A recorded request and response; bodies are looked through like files."""
        for name in ("request_body_b64", "response_body_b64"):
            body = decode_loosely(str(record.get(name) or "").encode())
            self.add_text(body, where)
            self.add_json(parse_loosely(body), where)
        self.add_text(json.dumps([record.get("path"), record.get("headers")]).encode(), where)

    def add_database(self, path, where):
        """Every value of every table; of a database with and without its write-ahead log, which differ."""
        for with_log in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                copy = pathlib.Path(folder) / "copy.db"
                shutil.copyfile(path, copy)
                log = path.with_name(path.name + "-wal")
                if with_log and log.is_file():
                    shutil.copyfile(log, copy.with_name("copy.db-wal"))
                elif not with_log and not log.is_file():
                    continue
                try:
                    self._read_database(copy, where)
                except sqlite3.Error as error:
                    self.notes.append(f"{where}: {'with' if with_log else 'without'} its log: {error}")

    def _read_database(self, copy, where):
        connection = sqlite3.connect(copy)
        connection.text_factory = bytes
        try:
            found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
            for table, statement in ((name.decode(), sql or b"") for name, sql in found):
                if VIRTUAL.match(statement):
                    self.skip_table(table, where)
                    continue
                try:
                    quoted = table.replace('"', '""')
                    cursor = connection.execute(f'SELECT * FROM "{quoted}"')
                    columns = [column[0] for column in cursor.description]
                    for row in cursor:
                        self._add_row(table, dict(zip(columns, row, strict=True)), f"{where}:{table}")
                    # Last: what cannot be read to its end was not looked at.
                    self.add_table(table, where)
                except sqlite3.Error as error:
                    self.notes.append(f"{where}:{table}: {error}")
        finally:
            connection.close()

    def skip_table(self, table, where):
        """A virtual table: a program, and perhaps one that this SQLite lacks. What it keeps is in plain tables beside it."""
        self.skipped.setdefault(folder_of(where), set()).add(table)
        note = f"{where}:{table}: a virtual table, which is passed over; its rows are in tables named {table}_…"
        if note not in self.notes:
            self.notes.append(note)

    def add_table(self, table, where):
        """A table of which every row was looked at."""
        self.tables.setdefault(folder_of(where), set()).add(table)

    def tables_read(self):
        """{folder: {table: rows}} of the tables that were looked at."""
        return {
            folder: {table: self.rows.get((folder, table), 0) for table in sorted(tables)}
            for folder, tables in self.tables.items()
        }

    def _add_row(self, table, row, where):
        place = (folder_of(where), table)
        self.rows[place] = self.rows.get(place, 0) + 1
        # The manager has a table of this name, too: what the vault should have, without any of it.
        if table == "envelopes" and "ciphertext" in row:
            names = ("environment_id", "secret_id", "version", "digest", "key_commitment", "nonce", "ciphertext")
            values = [row.get(name) for name in names]
            if all(
                isinstance(value, int if name == "version" else bytes)
                for name, value in zip(names, values, strict=True)
            ):
                self.envelopes.add(Envelope(*values))
            else:
                self.notes.append(f"{where}: a row that is no envelope")
        if table == "secrets" and isinstance(row.get("environment_id"), bytes):
            self.environments[row.get("secret_id")] = row["environment_id"]
        if table in ("versions", "envelopes") and "ciphertext" not in row:
            self.numbers |= {(row.get("secret_id"), row[name]) for name in ("version", "envelope") if name in row}
        if table == "registry_records":
            self.records.add((row.get("kind"), row.get("id")))
        if isinstance(row.get("hmac"), bytes):
            self.hashes.add(row["hmac"])
        if isinstance(row.get("wrapped"), bytes):
            self.add_place(row["wrapped"], row.get("secret_id"), row.get("version"))
        if table == "value_fingerprints" and isinstance(row.get("wrapped"), bytes):
            # It should be under the storage key. A bound or a bare one, filled up, may lie there in its place.
            for piece in (row["wrapped"][:40], row["wrapped"][:32]):
                self.add_bytes(piece, f"{where}.wrapped")
                self.add_place(piece, row.get("secret_id"), row.get("version"))
        for column, value in row.items():
            if not isinstance(value, bytes):
                continue
            if "vault" in column and len(value) == 16:
                self.vaults.add(value)
            self.add_bytes(value, f"{where}.{column}")
            self.add_text(value, f"{where}.{column}")
            self.add_json(parse_loosely(value), f"{where}.{column}")
            if any(part in column for part in NAME_COLUMNS):
                self.names.add(value.decode("utf-8", "replace"))

    def add_file(self, path, where):
        data = path.read_bytes()
        self.files.append((where, data))
        if data.startswith(b"SQLite format 3\0"):
            self.add_database(path, where)
        if data.startswith(postgres.DUMP):
            for table, row in postgres.rows_of_dump(data):
                self._add_row(table, row, f"{where}:{table}")
            for table in postgres.tables_of_dump(data):
                self.add_table(table, where)
        if postgres.holds_rows(path):
            for piece in postgres.random_pieces(data):
                self.add_bytes(piece, where)
        self.add_bytes(data, where, key=True)
        self.add_text(data, where, key=path.suffix in (".key", ".pem"))
        document = parse_loosely(data)
        # The `path` of a record is one of HTTP, not the name of a secret.
        for record in document if isinstance(document, list) else [document]:
            if isinstance(record, dict) and "request_body_b64" in record:
                self.add_traffic(record, where)
            else:
                self.add_json(record, where)


def folder_of(where):
    return pathlib.PurePath(where).parts[0]


def decode_loosely(data):
    """The bytes of base64 in either alphabet, padded or not; nothing if it is not."""
    data = data.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error:
        return b""


def decodings(word):
    yield decode_loosely(word)
    if len(word) in (64, 80, 96) and re.fullmatch(rb"[0-9A-Fa-f]+", word):
        yield bytes.fromhex(word.decode())


def parse_loosely(data):
    if data[:1] not in (b"{", b"[", b" ", b"\n"):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def gather(folder):
    """Everything in the files below `folder`. A file that cannot be read is noted and passed over."""
    loot = Loot()
    for path in sorted(folder.rglob("*")):
        where = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink() and not where.endswith("-shm"):
            try:
                loot.add_file(path, where)
            except (OSError, ValueError, TypeError, KeyError) as error:
                loot.notes.append(f"{where}: {type(error).__name__}: {error}")
    return loot
