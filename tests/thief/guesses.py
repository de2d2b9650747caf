"""A part of self_test.py: guesses at values, and versions with the same value, for whoever has one half or both."""

import base64
import json
import sqlite3

from loot import p
from thief import rob

VAULT_DISK = ("vault-data", "vault-keys")
MANAGER_DISK = ("manager-data", "manager-keys")


def test(one, stolen, check):
    right = {(p.format_id("sec", s), v, value) for (_, s, v), value in one.values.items()}
    tried = [b"wrong", *one.values.values(), b"x" * 2_999]

    def case(name, parts, expected, change=None):
        with stolen(one, *parts) as folder:
            if change:
                change(folder)
            report = rob("test", folder, guesses=tried)
            guessed = {(g["secret_id"], g["version"], base64.b64decode(g["value_b64"])) for g in report["guessed"]}
            check(f"guesses, {name}: {len(expected)}", guessed == expected)
            check(f"guesses, {name}: nothing is alike", report["alike"] == [])

    vault, seven = [*VAULT_DISK, "vault-runtime"], [*MANAGER_DISK, "tokens", "traffic"]
    case("the vault", vault, set())
    case("the vault and traffic", [*vault, "traffic"], set())
    case("the manager with tokens and traffic", seven, set())
    case("the manager and the vault's database", [*MANAGER_DISK, "vault-data"], set())
    case("both", [*vault, "manager-keys"], right)
    case("control: the transfer key kept", seven, right, lambda f: (f / "manager-data/tk").write_bytes(one.transfer_key))
    case("control: the key of hashes at the vault", [*vault, "manager-keys/credential-hmac.key"], right)
    key = p.b64(p.fingerprint_key(one.credential_key))
    case("control: the fingerprint key at the vault", vault, right, lambda f: (f / "vault-data/log").write_text(key))
    storage = ["vault-keys/storage-keys"]
    case("control: the storage key", [*MANAGER_DISK, "vault-data", *storage], right)
    place = next(iter(one.values))
    bare = {"environment": p.format_id("env", place[0]), "secret_id": p.format_id("sec", place[1])}
    bare |= {"version": place[2], "fingerprint": p.b64(one.bound(*place))}
    one_right = {(p.format_id("sec", place[1]), place[2], one.values[place])}
    leak = json.dumps(bare)
    case("control: one sent bare", seven, one_right, lambda f: (f / "manager-data/bare.jsonl").write_text(leak))

    def in_clear(folder, piece):
        connection = sqlite3.connect(folder / "vault-data/vault.db")
        for environment, secret, version in one.values:
            row = (piece(environment, secret, version), secret, version)
            connection.execute("UPDATE value_fingerprints SET wrapped = ? WHERE (secret_id, version) = (?, ?)", row)
        connection.commit()
        connection.close()

    def clear(folder):
        in_clear(folder, lambda *place: one.bound(*place) + bytes(8))

    case("control: kept in clear", [*MANAGER_DISK, "vault-data"], right, clear)

    def unbound(folder):
        key = p.fingerprint_key(one.credential_key)
        in_clear(folder, lambda *_: p.value_fingerprint(key, place[0], p.BYTES, b"x") + bytes(16))

    with stolen(one, *vault) as folder:
        unbound(folder)
        check("guesses, control: not bound shows what is alike", len(rob("test", folder)["alike"][0]) == 4)
