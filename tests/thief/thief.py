#!/usr/bin/env python3
"""The thief of the drills (S1, S3, S4, S7, S11): opens every value that the stolen files allow, and says which.

He knows docs/protocol.md and nothing else of ours. He takes all subdirectories of the loot: `vault-data/`,
`vault-keys/`, `vault-runtime/`, `manager-data/`, `manager-keys/`, `traffic/*.json` ({"method", "path", "headers",
"request_body_b64", "response_body_b64"} or a list of it), `tokens/*.jwt`, and whatever else lies there. Each piece is
tried in every place where it fits, so a control needs only to hand him one piece more.

He tests guesses at values (`--guesses`, a file with one text a line): against each version that he knows of, with whatever
he has of its fingerprint, in every form that it may have. And he says which versions have the same value, where something
that he has of them is the same.

He also looks for credentials that a manager would take: plain ones, and anything whose keyed hash is stored.

Output: {"scenario", "opened": [{"secret_id", "version", "value_b64"}], "guessed": the same, "alike": [["secret version",
…]], "credentials", "names", "tables": {folder: {table: rows}} of the tables that he looked at to their end, "skipped":
{folder: [virtual tables, whose rows are in plain tables beside them]}, "canary": [{"file", "encoding"}], "pieces":
{counts}, "notes"}. The exit code is 0 whether or not something opened, and 1 if the thief himself failed.
"""

import argparse
import base64
import hmac
import json
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

import canary
from loot import gather, p

# Guesses multiply. One attempt takes about 40 microseconds, so this is some two minutes.
DEFAULT_BUDGET = 3_000_000


class Unwrapper:
    """AES-KW unwrapping under one key, quick enough for brute force."""

    def __init__(self, key):
        self._decrypt = Cipher(algorithms.AES(key), modes.ECB()).decryptor().update

    def __call__(self, wrapped):
        """The data, or None. RFC 3394 section 2.2.2."""
        a, n = wrapped[:8], len(wrapped) // 8 - 1
        r = [wrapped[8 * i : 8 * i + 8] for i in range(1, n + 1)]
        for t in range(6 * n, 0, -1):
            i = (t - 1) % n
            block = self._decrypt((int.from_bytes(a, "big") ^ t).to_bytes(8, "big") + r[i])
            a, r[i] = block[:8], block[8:]
        return b"".join(r) if a == b"\xa6" * 8 else None


class Thief:
    def __init__(self, loot, budget):
        self.loot = loot
        self.budget = budget
        self.opened = {}
        self.guessed = {}
        self.data_keys = {}  # DEK → where from
        self.credentials = set()
        self.counts = {"transfer_keys": 0, "release_keys": 0, "content_keys": 0, "inners_unwrapped": 0, "attempts": 0}

    def run(self, guesses=()):
        loot = self.loot
        self.find_credentials()
        self.open_transfer_keys()
        release_keys = self.open_tokens()
        self.counts["release_keys"] = len(release_keys)
        # What a key may be; those from the places of keys are tried first, and in full.
        certain, candidates = list(loot.keys), [key for key in loot.guesses if key not in loot.keys]
        self.unwrap_inners(certain, guessed=False)
        self.unwrap_inners(candidates, guessed=True)
        self.unwrap_data_keys([*release_keys, *certain], certain, guessed=False)
        self.unwrap_data_keys(candidates, candidates, guessed=True)
        for dek in [*self.data_keys, *release_keys, *certain]:
            self.open_values(dek, guessed=False)
        for dek in candidates:
            self.open_values(dek, guessed=True)
        if guesses:
            self.test_guesses(guesses)

    def spend(self, guessed):
        """Whether one more attempt may be made. Only attempts with guesses are counted against the budget."""
        self.counts["attempts"] += 1
        if guessed:
            self.budget -= 1
            if self.budget == 0:
                self.loot.notes.append("the budget of attempts with guesses has ended")
        return not guessed or self.budget > 0

    def find_credentials(self):
        """Of a plain one nobody needs to know the hash; a hash without its text is tried with all that may be one."""
        self.credentials |= self.loot.credentials
        for credential in [*self.loot.keys, *self.loot.guesses] if self.loot.hashes else ():
            if any(hmac.digest(key, credential, "sha256") in self.loot.hashes for key in self.loot.keys):
                self.credentials.add(credential)

    def open_transfer_keys(self):
        """TK' under every RSA key, with the label and the hash of the protocol and with likely mistakes."""
        for private in self.loot.rsa_keys:
            for data, where in list(self.loot.rsa_ciphertexts.items()):
                for digest in (SHA256(), SHA1()):
                    for label in (b"splitvault/1/transfer", None):
                        try:
                            key = private.decrypt(data, padding.OAEP(padding.MGF1(digest), digest, label))
                        except ValueError:
                            continue
                        self.counts["transfer_keys"] += 1
                        self.loot.add_bytes(key, f"transfer key of {where}", key=True)

    def open_tokens(self):
        """Release keys of the tokens: every seal under every key that may be a seal key, every `rk` under every key."""
        keys = {**self.loot.guesses, **self.loot.keys}
        privates = [(X25519PrivateKey.from_private_bytes(key), key not in self.loot.keys) for key in keys]
        release_keys = {}
        for claims in self.loot.tokens:
            try:
                info, rk = p.token_info(claims), p.b64_decode(claims["rk"])
                seals = [p.b64_decode(seal) for seal in claims["seals"].values()]
            except (p.Refused, AttributeError, KeyError, TypeError, ValueError) as error:
                self.loot.notes.append(f"a token that does not parse: {type(error).__name__}: {error}")
                continue
            content_keys = []
            for seal in seals:
                for private, guessed in privates:
                    if not self.spend(guessed):
                        continue
                    try:
                        content_keys.append(p.hpke_open(private, info, seal))
                        self.counts["content_keys"] += 1
                    except p.Refused:
                        continue
            for key in [*content_keys, *keys]:
                try:
                    joined = AESGCM(key).decrypt(bytes(12), rk, info)
                except (InvalidTag, ValueError):
                    continue
                release_keys.update({joined[i : i + 32]: None for i in range(0, len(joined) - 31, 32)})
        return list(release_keys)

    def unwrap_inners(self, keys, guessed):
        """`stored` with storage keys, `moved` with transfer keys; nobody says which is which, so all with all."""
        for key in keys:
            unwrap = Unwrapper(key)
            for wrapped, where in self.loot.wrapped.items():
                if not self.spend(guessed):
                    return
                if (inner := unwrap(wrapped)) is not None:
                    self.counts["inners_unwrapped"] += 1
                    self.loot.inners.setdefault(inner, where)
                    for place in self.loot.places.get(wrapped, ()):
                        self.loot.add_place(inner, *place)

    def unwrap_data_keys(self, release_keys, root_keys, guessed):
        """Every `inner` under every release key, and under those that root keys give for the stolen digests.

        An `inner` whose place is known is only tried with the derived release keys of that place.
        """
        inners = list(self.loot.inners)
        attempts = [(rk, inners) for rk in release_keys]
        for envelope in self.loot.envelopes:
            place = (envelope.secret, envelope.version)
            fitting = [inner for inner in inners if place in self.loot.places.get(inner, {place})]
            attempts += [(p.release_key(root, envelope.digest), fitting) for root in root_keys]
        for rk, fitting in attempts:
            unwrap = Unwrapper(rk)
            for inner in fitting:
                if not self.spend(guessed):
                    return
                if (dek := unwrap(inner)) is not None:
                    self.data_keys.setdefault(dek, self.loot.inners[inner])

    def open_values(self, dek, guessed):
        """Every envelope under a data key, for every vault that the loot names. Whether `commit` fits is no matter."""
        for envelope in self.loot.envelopes:
            place = (envelope.secret, envelope.version)
            for vault in self.loot.vaults:
                if not self.spend(guessed):
                    return
                try:
                    h = p.header(vault, envelope.environment, *place)
                    cipher = AESGCM(p.derive(dek, "encrypt", h))
                    frame = cipher.decrypt(envelope.nonce, envelope.ciphertext, h + envelope.commit)
                except (InvalidTag, ValueError, struct.error):
                    continue
                try:
                    value = p.parse_frame(frame)[1]
                except p.Refused as refused:
                    self.loot.notes.append(f"a frame that does not parse is given whole: {refused}")
                    value = frame
                self.opened[(p.b64(envelope.secret), envelope.version, value)] = None

    def known_versions(self):
        """(environment, secret, version): from envelopes, from fingerprints on the way, from the manager's catalogue."""
        loot = self.loot
        known = {(envelope.environment, envelope.secret, envelope.version) for envelope in loot.envelopes}
        catalogue = {(loot.environments[s], s, v) for s, v in loot.numbers if s in loot.environments}
        return sorted(known | loot.versions | catalogue)

    def test_guesses(self, guesses):
        """Every guess at every version, under every key that the fingerprint key may be or be made of."""
        loot, keys = self.loot, {**self.loot.keys, **self.loot.guesses}
        pieces = {*loot.inners, *keys}
        masters = [(key, key not in loot.keys) for key in keys]
        for master, guessed in masters:
            for key in (master, p.fingerprint_key(master)):
                for environment, secret, version in self.known_versions():
                    for vault in loot.vaults:
                        if not self.spend(guessed):
                            return
                        binding = p.binding_key(key, p.header(vault, environment, secret, version))
                        unwrap = Unwrapper(binding)
                        read = {unwrap(i) for i in loot.inners if (secret, version) in loot.places.get(i, ())} - {None}
                        for fingerprint in read:
                            loot.add_place(fingerprint, secret, version)
                        if guessed and not read:
                            continue  # what may be a key and reads nothing is not worth all guesses
                        for guess in guesses:
                            for kind in (p.TEXT, p.BYTES):
                                fingerprint = p.value_fingerprint(key, environment, kind, guess)
                                found = fingerprint in read or p.aes_wrap(binding, fingerprint) in pieces
                                # A bare one says that some version has the value; where it lies says which.
                                if found or (secret, version) in loot.places.get(fingerprint, ()):
                                    self.guessed[(p.b64(secret), version, guess)] = None

    def alike(self):
        """Versions that have a piece in common."""
        groups = [places for places in self.loot.places.values() if len(places) > 1]
        named = [sorted(f"sec_{p.b64(secret)} {version}" for secret, version in places) for places in groups]
        return sorted(group for number, group in enumerate(named) if group not in named[:number])

    def report(self, scenario, canary_hits):
        loot = self.loot
        found = {
            "files": len(loot.files),
            "keys": len(loot.keys),
            "guesses_at_keys": len(loot.guesses),
            "rsa_keys": len(loot.rsa_keys),
            "wrapped_transfer_keys": len(loot.rsa_ciphertexts),
            "wrapped_keys": len(loot.wrapped),
            "inners": len(loot.inners),
            "data_keys": len(self.data_keys),
            "envelopes": len(loot.envelopes),
            "tokens": len(loot.tokens),
            "vaults": len(loot.vaults),
            "registry_records": len(loot.records),
            "credential_hashes": len(loot.hashes),
        }
        opened, guessed = (
            [
                {"secret_id": f"sec_{secret}", "version": version, "value_b64": base64.b64encode(value).decode()}
                for secret, version, value in sorted(values)
            ]
            for values in (self.opened, self.guessed)
        )
        return {
            "scenario": scenario,
            "opened": opened,
            "guessed": guessed,
            "alike": self.alike(),
            "credentials": sorted(credential.hex() for credential in self.credentials),
            "names": sorted(loot.names),
            "tables": loot.tables_read(),
            "skipped": {folder: sorted(tables) for folder, tables in loot.skipped.items()},
            "canary": canary_hits,
            "pieces": {**found, **self.counts},
            "notes": loot.notes,
        }


def rob(scenario, folder, budget=DEFAULT_BUDGET, canary_sha256=None, canary_length=None, guesses=()):
    """The report on one loot directory."""
    thief = Thief(gather(folder), budget)
    thief.run(guesses)
    hits = []
    if canary_sha256 is not None:
        hits = canary.search(thief.loot.files, canary_sha256, canary_length)
        values = [(f"opened sec_{secret} {version}", value) for secret, version, value in sorted(thief.opened)]
        hits += canary.search(values, canary_sha256, canary_length)
    return thief.report(scenario, hits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", help="a name for the report, as S3")
    parser.add_argument("--loot", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write the report here, not to the output")
    parser.add_argument("--canary-sha256", type=bytes.fromhex, metavar="HEX", help="look for a value with this hash")
    parser.add_argument("--canary-length", type=int, metavar="N", help="its length in bytes: look at every position")
    parser.add_argument("--budget", type=int, default=DEFAULT_BUDGET, help="attempts with guessed keys")
    parser.add_argument("--guesses", type=pathlib.Path, metavar="FILE", help="values that he tests, one a line")
    arguments = parser.parse_args()
    if not arguments.loot.is_dir():
        parser.error(f"{arguments.loot} is no directory")
    guesses = arguments.guesses.read_bytes().splitlines() if arguments.guesses else ()
    search = arguments.canary_sha256, arguments.canary_length
    report = rob(arguments.scenario, arguments.loot, arguments.budget, *search, guesses)
    text = json.dumps(report, indent=1) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
        print(f"{arguments.scenario}: {len(report['opened'])} values opened, {len(report['names'])} names known")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
