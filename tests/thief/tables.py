"""A part of self_test.py: the thief looks at every column of every table that the schemas of both services make."""

import pathlib
import random
import re
import sqlite3
import tempfile

import loot
import postgres
from loot import p

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Folder of the loot, and where the program has its schema.
SCHEMAS = {
    "vault-data": "encrypted-vault/src/store/sql/schema/sqlite.rs",
    "manager-data": "master-key-manager/store/src/sql/schema/sqlite.rs",
}
STEP = re.compile(r'"(\s*(?:--|CREATE|ALTER).*?)"', re.DOTALL)
# What Python's SQLite may not know; see `disguise`.
NEW_OPTION = " contentless_delete=1,"
INDEX = "search_names"
RANDOM = random.Random(2)


def made(path, source, with_index):
    """A database with the schema of a service."""
    steps = STEP.findall((ROOT / source).read_text())
    connection = sqlite3.connect(path)
    for step in steps:
        connection.executescript(step.replace(NEW_OPTION, ""))
    has_index = any(f"CREATE VIRTUAL TABLE {INDEX} " in step for step in steps)
    if has_index and not with_index:
        connection.execute(f"DROP TABLE {INDEX}")
    elif has_index:
        connection.execute(f"INSERT INTO {INDEX} (rowid, name) VALUES (1, 'payments/key')")
    return connection


def plant(connection):
    """{table: {column: 32 bytes}}: a row for each table, with something like a key in every place that can hold one."""
    planted = {}
    connection.execute("PRAGMA ignore_check_constraints = ON")
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL TABLE%'")
    for (table,) in found.fetchall():
        row, planted[table] = {}, {}
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
            piece = RANDOM.randbytes(32)
            row[column] = {"INTEGER": 1_000_001, "TEXT": p.b64(piece)}.get(kind, piece)
            if kind != "INTEGER":
                planted[table][column] = piece
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    return planted


def disguise(connection, old, new):
    """Changes the text of the schema, as a newer SQLite would have written it."""
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (old, new))
    connection.commit()


def dump_of(path):
    """What pg_dump writes about the tables of a SQLite database."""
    kinds = {"BLOB": "bytea NOT NULL", "INTEGER": "bigint", "TEXT": 'text COLLATE pg_catalog."C"'}
    connection, dump = sqlite3.connect(path), postgres.DUMP.decode()
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [column[1:3] for column in connection.execute(f"PRAGMA table_info({table})")]
        lines = ",\n".join(f"    {name} {kinds[kind]}" for name, kind in columns)
        names = ", ".join(name for name, _ in columns)
        dump += f"\nCREATE TABLE public.{table} (\n{lines}\n);\n\nCOPY public.{table} ({names}) FROM stdin;\n"
        for row in connection.execute(f"SELECT * FROM {table}"):
            values = (rf"\\x{value.hex()}" if isinstance(value, bytes) else str(value) for value in row)
            dump += "\t".join(values).replace("\n", r"\n") + "\n"
        dump += "\\.\n"
    connection.close()
    return dump


def test(check):
    for engine in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory() as folder:
            folder, planted = pathlib.Path(folder), {}
            for name, source in SCHEMAS.items():
                path = folder / name / "service.db"
                path.parent.mkdir()
                connection = made(path, source, with_index=engine == "SQLite")
                planted[name] = plant(connection)
                disguise(connection, "content='',", f"content='',{NEW_OPTION}")
                connection.close()
                if engine == "PostgreSQL":
                    path.with_name("dump.sql").write_text(dump_of(path))
                    path.unlink()
            check_columns(engine, loot.gather(folder), planted, check)
    test_unreadable(check)


def check_columns(engine, got, planted, check):
    for folder, tables in planted.items():
        file = "service.db" if engine == "SQLite" else "dump.sql"
        unseen = [
            f"{table}.{column}"
            for table, pieces in tables.items()
            for column, piece in pieces.items()
            if got.guesses.get(piece) != f"{folder}/{file}:{table}.{column}"
        ]
        check(f"tables of {folder}, {engine}: each column is looked at, but {unseen}", not unseen)
        read = got.tables_read()[folder]
        check(f"tables of {folder}, {engine}: they are said to be", set(read) == set(tables) and all(read.values()))
    skipped = {"manager-data": {INDEX}} if engine == "SQLite" else {}
    check(f"tables, {engine}: the index of names is passed over", got.skipped == skipped)
    only_that = all(f":{INDEX}: a virtual table" in note for note in got.notes)
    check(f"tables, {engine}: and that is said, and nothing else", only_that and len(got.notes) == len(skipped))
    if skipped:
        beside = {table for table in got.tables["manager-data"] if table.startswith(f"{INDEX}_")}
        check("tables: and its rows are in tables beside it", {f"{INDEX}_data", f"{INDEX}_idx"} <= beside)
    described = (ROOT / "docs/protocol.md").read_text().split("\n## 11. ")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)[`(]", described))
    unnamed = sorted(t for found in planted.values() for t in found if t not in named and not t.startswith(f"{INDEX}_"))
    check(f"tables: section 11 of the protocol names each, but {unnamed}", not unnamed)


def test_unreadable(check):
    """A table that he cannot read is not among those that he looked at."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "vault-data/vault.db"
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript("CREATE TABLE good(a); CREATE TABLE bad(a, b AS (abs(a)));")
        disguise(connection, "abs(", "absent(")
        connection.close()
        got = loot.gather(pathlib.Path(folder))
        check("tables: one that he cannot read was not looked at", got.tables_read() == {"vault-data": {"good": 0}})
        check("tables: and he says why", len(got.notes) == 1 and ":bad: " in got.notes[0])
