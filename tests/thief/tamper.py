#!/usr/bin/env python3
"""Every way of the drill S2 to alter a vault database that was stolen and given back, one at a time.

--list prints one JSON line for each: {"index", "kind", "detail", "touches": [{"secret_id", "version"}]}. The list
depends only on the rows and on --seed, so an index means the same for each copy of a database. --apply N alters the
database in place; no service may run on it, and its write-ahead log is folded in.
"""

import argparse
import base64
import hashlib
import itertools
import json
import pathlib
import sqlite3

import postgres

VALUE_TABLES = ("envelopes", "wrapped_keys")


class Database:
    """All tables in memory, in the order of their primary keys, whatever columns they have."""

    def __init__(self, path):
        self.path = path
        if str(path).startswith("postgresql://"):
            self.columns, self.keys, self.rows = postgres.Server(path).load()
            return
        connection = sqlite3.connect(path)
        self.rows, self.columns, self.keys = {}, {}, {}
        found = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        for (table,) in connection.execute(found).fetchall():
            columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
            self.columns[table] = [column[1] for column in columns]
            self.keys[table] = tuple(column[1] for column in sorted(columns, key=lambda c: c[5]) if column[5])
            order = ", ".join(f'"{name}"' for name in self.keys[table] or self.columns[table])
            cursor = connection.execute(f'SELECT * FROM "{table}" ORDER BY {order}')
            self.rows[table] = [dict(zip(self.columns[table], row, strict=True)) for row in cursor]
        connection.close()

    def describe(self, table, row):
        parts = (f"{name}={short(row[name])}" for name in self.keys[table] or self.columns[table])
        return f"{table}({', '.join(parts)})"

    def save(self):
        """Write all rows anew, whatever constraints and triggers think of them. Equal keys: the first row stays."""
        if str(self.path).startswith("postgresql://"):
            postgres.Server(self.path).save(self.columns, self.rows)
            return
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(triggers).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in self.rows.items():
            connection.execute(f'DELETE FROM "{table}"')
            names = ", ".join(f'"{name}"' for name in self.columns[table])
            marks = ", ".join("?" * len(self.columns[table]))
            for row in rows:
                values = [row[name] for name in self.columns[table]]
                connection.execute(f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})', values)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


def short(value):
    return value.hex()[:8] if isinstance(value, bytes) else str(value)[:8]


def touches(*rows):
    """The versions that a tampering is about, without repetition."""
    found = []
    for row in rows:
        if isinstance(row.get("secret_id"), bytes):
            secret = base64.urlsafe_b64encode(row["secret_id"]).rstrip(b"=").decode()
            item = {"secret_id": f"sec_{secret}", "version": row.get("version")}
            if item not in found:
                found.append(item)
    return found


def tamperings(database, seed, flips):
    """(kind, detail, touches, change): `change()` alters the rows in memory."""
    for table in VALUE_TABLES:
        yield from _between_rows(database, table)
        yield from _in_rows(database, table)
    yield from _whole_places(database)
    for table in database.rows:
        for row in list(database.rows[table]):
            detail = database.describe(table, row)
            yield "delete", detail, touches(row), lambda t=table, r=row: database.rows[t].remove(r)
        if database.rows[table]:
            every = touches(*database.rows[table])
            yield "empty", table, every, lambda t=table: database.rows[t].clear()
    yield from _events(database)
    yield from _random_flips(database, seed, flips)


def _between_rows(database, table):
    rows = database.rows.get(table, [])
    for left, right in itertools.combinations(rows, 2):
        for column in database.columns[table]:
            if left[column] == right[column]:
                continue
            detail = f"{column} of {database.describe(table, left)} and {database.describe(table, right)}"

            def swap(left=left, right=right, column=column):
                left[column], right[column] = right[column], left[column]

            yield "swap", detail, touches(left, right), swap
        for source, target in ((left, right), (right, left)):
            for column in database.columns[table]:
                if source[column] == target[column] or column in database.keys[table]:
                    continue
                detail = f"{column} of {database.describe(table, source)} to {database.describe(table, target)}"

                def copy(source=source, target=target, column=column):
                    target[column] = source[column]

                yield "copy", detail, touches(source, target), copy


def _in_rows(database, table):
    for row in database.rows.get(table, []):
        where = database.describe(table, row)
        for column, value in row.items():
            changes = {}
            if isinstance(value, bytes):
                changes = {
                    "truncate": value[: len(value) // 2],
                    "truncate by one": value[:-1],
                    "empty the column": b"",
                    "lengthen": value + b"\0",
                    "zero": bytes(len(value)),
                    "six initial values of RFC 3394": b"\xa6" * len(value),
                    "one initial value of RFC 3394": b"\xa6" * 8,
                }
            elif isinstance(value, int):
                changes = {"add one": value + 1, "subtract one": value - 1, "make greatest": 2**53 - 1}
            for kind, new in changes.items():
                if new != value:

                    def change(row=row, column=column, new=new):
                        row[column] = new

                    yield kind, f"{column} of {where}", touches(row), change


def _whole_places(database):
    """Move all that belongs to one version to another: the places swapped, or one also served as the other."""
    envelopes = database.rows.get("envelopes", [])

    def rows_of(place):
        tables = ("envelopes", "wrapped_keys", "value_fingerprints")
        return [
            (t, row) for t in tables for row in database.rows.get(t, []) if (row["secret_id"], row["version"]) == place
        ]

    for left, right in itertools.combinations(envelopes, 2):
        places = [(row["secret_id"], row["version"]) for row in (left, right)]
        names = [f"{short(secret)} version {version}" for secret, version in places]

        def exchange(places=places, environment=False):
            both = [rows_of(place) for place in places]
            environments = [dict(rows)["envelopes"].get("environment_id") for rows in both]
            for rows, place, moved_to in zip(both, places[::-1], environments[::-1], strict=True):
                for table, row in rows:
                    row["secret_id"], row["version"] = place
                    if environment and table == "envelopes":
                        row["environment_id"] = moved_to

        yield "swap whole", " and ".join(names), touches(left, right), exchange
        if left["environment_id"] != right["environment_id"]:
            yield (
                "swap whole, not the environment",
                " and ".join(names),
                touches(left, right),
                lambda f=exchange: f(environment=True),
            )
        for (source, source_name), (target, target_name) in itertools.permutations(zip(places, names, strict=True), 2):

            def replay(source=source, target=target):
                for table, row in rows_of(target):
                    database.rows[table].remove(row)
                for table, row in rows_of(source):
                    copy = {**row, "secret_id": target[0], "version": target[1]}
                    database.rows[table].append(copy)

            yield "serve as", f"{source_name} as {target_name}", touches(left, right), replay


def _events(database):
    rows = database.rows.get("events", [])
    for number in range(1, len(rows) + 1):
        yield (
            "forget the newest events",
            f"{number} of {len(rows)}",
            [],
            lambda n=number: rows.__delitem__(slice(-n, None)),
        )
    for left, right in itertools.combinations(rows, 2):

        def swap(left=left, right=right):
            left["compact"], right["compact"] = right["compact"], left["compact"]

        yield "swap events", f"{left['seq']} and {right['seq']}", [], swap
    for row in rows:

        def cut(row=row):
            row["compact"] = row["compact"][: len(row["compact"]) // 2]

        yield "truncate an event", str(row["seq"]), [], cut


def _random_flips(database, seed, flips):
    """`flips` single bits, chosen by SHA-256 of the seed and a number among all bytes of the value tables."""
    cells = [
        (table, row, column)
        for table in VALUE_TABLES
        for row in database.rows.get(table, [])
        for column, value in row.items()
        if isinstance(value, bytes) and value
    ]
    for number in range(flips if cells else 0):
        random = int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest(), "big")
        random, cell = divmod(random, len(cells))
        table, row, column = cells[cell]
        bit = random % (8 * len(row[column]))

        def flip(row=row, column=column, bit=bit):
            data = bytearray(row[column])
            data[bit // 8] ^= 0x80 >> bit % 8
            row[column] = bytes(data)

        yield "flip", f"bit {bit} of {column} of {database.describe(table, row)}", touches(row), flip


def listing(path, seed="1", flips=64):
    """The tamperings of a database without applying one."""
    return [
        {"index": index, "kind": kind, "detail": detail, "touches": touched}
        for index, (kind, detail, touched, _) in enumerate(tamperings(Database(path), seed, flips))
    ]


def apply(path, number, seed="1", flips=64):
    """Apply one tampering; its kind and detail."""
    database = Database(path)
    for index, (kind, detail, _, change) in enumerate(tamperings(database, seed, flips)):
        if index == number:
            break
    else:
        raise SystemExit(f"there is no tampering {number}")
    change()
    database.save()
    return kind, detail


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", required=True, help="a file of SQLite, or an address of PostgreSQL")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true")
    action.add_argument("--apply", type=int, metavar="N")
    parser.add_argument("--seed", default="1", help="of the random bits")
    parser.add_argument("--flips", type=int, default=64, help="how many random bits the list has")
    arguments = parser.parse_args()
    if not arguments.database.startswith("postgresql://") and not pathlib.Path(arguments.database).is_file():
        parser.error(f"{arguments.database} is no file")
    if arguments.list:
        for item in listing(arguments.database, arguments.seed, arguments.flips):
            print(json.dumps(item))
    else:
        kind, detail = apply(arguments.database, arguments.apply, arguments.seed, arguments.flips)
        print(f"{arguments.apply}: {kind}: {detail}")


if __name__ == "__main__":
    main()
