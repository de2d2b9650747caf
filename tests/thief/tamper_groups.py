#!/usr/bin/env python3
"""The tamperings of tamper.py for the value tables, many at a time: each on a group of versions of its own.

--groups names a JSON list of groups, each a list of [key_id, version] in the same order of roles (first secret, its
second version, neighbour, other environment …). A tampering has the same number in each group. In round R of K groups,
group i gets number R × K + i, so that after all rounds each number was applied once, and one start of a service serves
K of them. Prints {"rounds", "tamperings", "applied": [{"group", "kind", "detail"}]}.
"""

import argparse
import base64
import json
import pathlib

import tamper


class Group:
    """A database of one group's rows, in the order of its roles."""

    def __init__(self, database, places):
        self.columns, self.keys = database.columns, database.keys
        self.describe = database.describe
        order = {place: number for number, place in enumerate(places)}
        self.rows = {}
        for table in tamper.VALUE_TABLES:
            rows = [row for row in database.rows[table] if (row["secret_id"], row["version"]) in order]
            self.rows[table] = sorted(rows, key=lambda row: order[row["secret_id"], row["version"]])
        for number, row in enumerate(self.rows["envelopes"]):
            # Times differ between groups by chance; like this a swap of them is one tampering in each.
            row["stored_at"] += number


def place_of(item):
    key_id, version = item
    return base64.urlsafe_b64decode(key_id.removeprefix("sec_") + "=="), version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", required=True)
    parser.add_argument("--groups", type=pathlib.Path, required=True)
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--flips", type=int, default=64, help="how many random bits the list has")
    parser.add_argument("--seed", default="1", help="of the random bits")
    parser.add_argument("--only", help="kinds of tampering, separated by commas")
    arguments = parser.parse_args()

    database = tamper.Database(arguments.database)
    groups = [
        Group(database, [place_of(item) for item in group]) for group in json.loads(arguments.groups.read_text())
    ]
    kept = {id(row) for group in groups for rows in group.rows.values() for row in rows}
    others = {table: [row for row in database.rows[table] if id(row) not in kept] for table in tamper.VALUE_TABLES}
    only = arguments.only and arguments.only.split(",")
    applied, total = [], None
    for index, group in enumerate(groups):
        found = list(tamper.tamperings(group, arguments.seed, arguments.flips))
        found = [item for item in found if not only or item[0] in only]
        if total not in (None, len(found)):
            raise SystemExit(f"group {index} has {len(found)} tamperings, the first has {total}")
        total = len(found)
        number = arguments.round * len(groups) + index
        if number < total:
            kind, detail, _, change = found[number]
            change()
            applied.append({"group": index, "kind": kind, "detail": detail})
    for table in tamper.VALUE_TABLES:
        database.rows[table] = others[table] + [row for group in groups for row in group.rows[table]]
    database.save()
    print(json.dumps({"rounds": -(-total // len(groups)), "tamperings": total, "applied": applied}))


if __name__ == "__main__":
    main()
