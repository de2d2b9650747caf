"""Vectors of the feed snapshot (section 6): what may follow what, where ended events were dropped."""

import splitvault_protocol as p
from fixtures import expand
from token_parts import CONTEXT, ISSUER
from vectors_documents import MANAGER_IDENTITY, NOW, VAULT_ID, VAULT_IDENTITY
from vectors_envelope import negative
from vectors_orders import EVENTS


def chain_of(events, seed="event", legacy=0):
    """A chain whose events name the lasting one before them; the first `legacy` ones do not."""
    chain, prev, lasting = [], p.ZERO_HASH, p.ZERO_HASH
    for seq, (kind, payload) in enumerate(events, 1):
        jti, named = p.b64(expand(f"{seed} {seq}", 16)), None if seq <= legacy else lasting
        place = (MANAGER_IDENTITY, ISSUER, VAULT_ID, NOW - 1_000 + seq, jti, seq, prev)
        chain.append(p.make_event(*place, kind, payload, named))
        prev = p.event_hash(chain[-1])
        lasting = prev if kind in p.LASTING else lasting
    return chain


def feed_snapshots():
    chain = chain_of(EVENTS + EVENTS)
    # Of EVENTS, numbers 2, 3, 4, 7 and 9 last; so do 11, 12, 13, 16 and 18 of the second round.
    kept = [chain[seq - 1] for seq in (2, 3, 4, 7, 9, 11, 12, 13, 16)] + chain[16:]
    other, old = chain_of(EVENTS + EVENTS, "another"), chain_of(EVENTS + EVENTS, legacy=9)
    place = (MANAGER_IDENTITY, ISSUER, VAULT_ID, NOW)
    positive, negatives = [], []

    def follows(name, applied, events, dropped_below):
        head = p.Chain()
        keys = {p.kid_of(MANAGER_IDENTITY.public_key()): MANAGER_IDENTITY.public_key()}
        for compact in applied:
            head.apply(compact, NOW, ISSUER, VAULT_ID, keys, p.MAX_INTEGER)
        for compact in events:
            head.apply(compact, NOW, ISSUER, VAULT_ID, keys, dropped_below)
        entry = {"name": name, "applied": applied, "events": events, "dropped_below": dropped_below}
        where = {"number": head.applied, "hash": head.head().hex(), "lasting": head.lasting().hex()}
        positive.append({**entry, **where, "revoked_below": head.passed_over})

    follows("every event, from the first", [], chain, 0)
    follows("every event, for a reader that knows some", chain[:5], chain, 0)
    follows("the lasting events and the last two, from the first", [], kept, 17)
    follows("the lasting events and the last two, from a lasting one", chain[:4], kept, 17)
    follows("the lasting events and the last two, from one that ends", chain[:6], kept, 17)
    follows("one that ends, over others that end", chain[:4], [chain[5]], 6)
    follows("a lasting one, over one that ends", chain[:9], [chain[10]], 11)
    follows("known numbers that were dropped, of another history", [*chain[:4], chain[6]], other[4:6], 0)
    follows("numbers are not missing below what was dropped", [], chain, p.MAX_INTEGER)
    follows("events of before, which name no lasting one", [], old[:9], 0)
    follows("events of before, then a gap", old[:9], [old[10], old[11]], 12)

    def refuse(reason, applied, events, dropped_below, code):
        entry = {"applied": applied, "events": events, "dropped_below": dropped_below}
        negatives.append(negative(reason, **entry, code=code))

    refuse("a gap where nothing was dropped", chain[:4], [chain[5]], 0, "event_gap")
    refuse("a gap just above what was dropped", chain[:4], [chain[5]], 5, "event_gap")
    refuse("a gap with a lasting event in it, where nothing was dropped", chain[:1], [chain[2]], 0, "event_gap")
    refuse("a second gap, above what was dropped", chain[:4], [chain[5], chain[16]], 6, "event_gap")
    refuse("a lasting event is left out", chain[:1], [chain[2]], 3, "event_conflict")
    refuse("all lasting events are left out", [], [chain[17]], 18, "event_conflict")
    refuse("the first lasting event is left out", [], kept[1:], 17, "event_conflict")
    refuse("one lasting event in the middle is left out", [], kept[:4] + kept[5:], 17, "event_conflict")
    refuse("lasting events in another order", [], [kept[0], kept[2], kept[1]], 17, "event_conflict")
    refuse("lasting events of another history", chain[:4], [other[6]], 17, "event_conflict")
    refuse("over a gap into another history", chain[:2], [other[3]], 17, "event_conflict")
    refuse("over a gap, without the name of a lasting one", old[:3], [old[6]], 9, "event_conflict")
    refuse("a known number with other bytes", chain[:4], [other[3]], 17, "event_conflict")
    ended = ("all", {})
    for name, hash_ in {
        "the next one names no lasting event": p.ZERO_HASH,
        "the next one names the lasting event before the last": p.event_hash(chain[2]),
        "the next one names one that ends": p.event_hash(chain[4]),
    }.items():
        compact = p.make_event(*place, p.b64(bytes(16)), 7, p.event_hash(chain[5]), *ended, hash_)
        refuse(name, chain[:6], [compact], 0, "event_conflict")
        far = p.make_event(*place, p.b64(bytes(16)), 9, p.event_hash(chain[7]), *ended, hash_)
        refuse(f"{name}, over a gap", chain[:6], [far], 9, "event_conflict")
    good = p.parse_json(p.b64_decode(chain[5].split(".")[1]))
    texts = {
        "lasting is null": None,
        "lasting is empty": "",
        "lasting is a number": 1,
        "lasting of 31 bytes": p.b64(bytes(31)),
        "lasting of 33 bytes": p.b64(bytes(33)),
        "lasting in hexadecimal": bytes(32).hex(),
        "lasting is a list": [p.b64(bytes(32))],
    }
    for name, value in texts.items():
        compact = p.sign_jws("event", MANAGER_IDENTITY, {**good, "lasting": value})
        refuse(name, chain[:5], [compact], 0, "token_invalid")
    twice = p.compact_json(good).replace(b'"lasting":', b'"lasting":"' + p.b64(bytes(32)).encode() + b'","lasting":')
    refuse("lasting is given twice", chain[:5], [p.sign_jws("event", MANAGER_IDENTITY, twice)], 0, "token_invalid")
    forged = p.sign_jws("event", VAULT_IDENTITY, good)
    refuse("over a gap, signed by the vault", chain[:4], [forged], 17, "token_invalid")
    return {"context": CONTEXT, "positive": positive, "negative": negatives}


def files():
    return {
        "feed_snapshot": (
            "Events that come after others (section 6): one of the negative `events` is refused.",
            feed_snapshots(),
        )
    }
