"""PostgreSQL for the thief: dumps as text, pages of a data directory, and databases that he may write to through psql."""

import json
import os
import pathlib
import re
import subprocess

DUMP = b"--\n-- PostgreSQL database dump\n--\n"
TABLE = re.compile(rb"^CREATE (?:UNLOGGED )?TABLE (?:public\.)?(\w+) \(\n(.*?)\n\);$", re.DOTALL | re.MULTILINE)
COPY = re.compile(rb"^COPY (?:public\.)?(\w+) \(([^)]*)\) FROM stdin;\n(.*?)^\\\.$", re.DOTALL | re.MULTILINE)
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
CONTROL = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# The header of a short value is its length with itself, and a bit.
SHORT = {length: bytes([(length + 1) << 1 | 1]) for length in (32, 40, 48)}


def tables_of_dump(dump):
    """The tables whose rows it has, also those without a row. What it only declares is none of them."""
    return [table.decode() for table, _, _ in COPY.findall(dump)]


def rows_of_dump(dump):
    """(table, row) for each row; blobs and texts as bytes, whole numbers as numbers."""
    types = {}
    for table, lines in TABLE.findall(dump):
        words = [line.split() for line in lines.split(b"\n") if line.strip()]
        types[table] = {line[0]: line[1].rstrip(b",") for line in words if len(line) > 1}
    for table, columns, lines in COPY.findall(dump):
        names = [name.strip() for name in columns.split(b",")]
        for line in lines.splitlines():
            values = line.split(b"\t")
            row = {
                name.decode(): _value(types.get(table, {}).get(name), value)
                for name, value in zip(names, values, strict=True)
            }
            yield table.decode(), row


def _value(kind, value):
    if value == rb"\N":
        return None
    value = ESCAPE.sub(lambda match: CONTROL.get(match.group(1), match.group(1)), value)
    if kind in (b"bigint", b"integer", b"smallint"):
        return int(value)
    if kind == b"bytea":
        return bytes.fromhex(value[2:].decode())
    return value


def holds_rows(path):
    """Whether a file of a data directory may hold rows of a user: write-ahead log, or a table that is no catalog."""
    number = re.match(r"\d+", path.name)
    return "pg_wal" in path.parts or ("base" in path.parts and number is not None and int(number.group()) >= 16384)


def random_pieces(pages):
    """What lies in pages of heap or write-ahead log like a value of the length of a key and looks random, living or not."""
    for length, header in SHORT.items():
        place = pages.find(header)
        while place >= 0:
            piece = pages[place + 1 : place + 1 + length]
            if len(piece) == length and _looks_random(piece):
                yield piece
            place = pages.find(header, place + 1)


def _looks_random(piece):
    """Whether a key or what is under one could look so: one in ten thousand does not."""
    kinds, high = len(set(piece)), sum(byte > 127 for byte in piece)
    return kinds > len(piece) * 3 // 4 and len(piece) // 5 < high < len(piece) * 4 // 5 and piece.count(0) < 3


class Server:
    """A database by its address, asked through psql."""

    def __init__(self, address):
        self.address = address

    def run(self, statements):
        psql = pathlib.Path(os.environ.get("SPLITVAULT_TEST_POSTGRES_BIN", "")) / "psql"
        options = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        command = [psql, *options, f"--dbname={self.address}"]
        done = subprocess.run(command, input=statements, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"psql: {done.stderr}")
        return done.stdout.strip("\n").split("\n") if done.stdout.strip("\n") else []

    def load(self):
        """Columns and primary key of every table, and its rows in the order of that key."""
        columns, keys, rows = {}, {}, {}
        found = """SELECT json_build_object('table', c.relname, 'columns', (SELECT json_agg(a.attname ORDER BY attnum)
                     FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
                     'key', (SELECT json_agg(a.attname ORDER BY array_position(i.indkey, a.attnum))
                     FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                     WHERE i.indrelid = c.oid AND i.indisprimary))
                   FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                   ORDER BY relname COLLATE "C";"""
        for line in self.run(found):
            one = json.loads(line)
            table = one["table"]
            columns[table], keys[table] = one["columns"], tuple(one["key"] or ())
            order = ", ".join(f'"{name}"' for name in keys[table] or columns[table])
            lines = self.run(f'SELECT row_to_json(t) FROM "{table}" t ORDER BY {order};')
            rows[table] = [{name: _plain(value) for name, value in json.loads(line).items()} for line in lines]
        return columns, keys, rows

    def save(self, columns, rows):
        """Write all rows anew, whatever constraints and triggers think of them. Equal keys: the first row stays."""
        checks = """SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname) FROM pg_constraint
                    WHERE contype = 'c' AND connamespace = 'public'::regnamespace;"""
        statements = [*self.run(checks), "SET session_replication_role = replica;", "BEGIN;"]
        for table, found in rows.items():
            statements.append(f'DELETE FROM "{table}";')
            names = ", ".join(f'"{name}"' for name in columns[table])
            for row in found:
                values = ", ".join(_literal(row[name]) for name in columns[table])
                statements.append(f'INSERT INTO "{table}" ({names}) VALUES ({values}) ON CONFLICT DO NOTHING;')
        self.run("\n".join([*statements, "COMMIT;"]))


def _plain(value):
    return bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("\\x") else value


def _literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)
