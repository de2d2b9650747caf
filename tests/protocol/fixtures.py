"""Fixed inputs of the vectors: bytes, keys and RSA-OAEP from a seed, so that the vectors can be made again exactly.

Never use this for a real key.
"""

import hashlib
import math

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def expand(seed, length):
    """SHA-256(seed ‖ ":" ‖ 0) ‖ SHA-256(seed ‖ ":" ‖ 1) ‖ …, the counter in decimal, cut to `length` bytes."""
    blocks = (hashlib.sha256(f"{seed}:{number}".encode()).digest() for number in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def expand_value(kind, seed, length):
    """A value of `length` bytes: for kind text the lowercase hexadecimal digits of `expand`, for bytes `expand`."""
    return expand(seed, length // 2 + 1).hex()[:length].encode() if kind == 0 else expand(seed, length)


def _probably_prime(number, seed):
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for round_number in range(32):
        base = int.from_bytes(expand(f"{seed}/witness/{round_number}", 32), "big")
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


def _prime(seed, bits, e):
    start = int.from_bytes(expand(seed, bits // 8), "big") | 3 << (bits - 2) | 1
    candidate = start
    while math.gcd(candidate - 1, e) != 1 or not _probably_prime(candidate, seed):
        candidate += 2
    return candidate


def rsa_key(seed, bits=2048, e=65537):
    p, q = _prime(seed + "/p", bits // 2, e), _prime(seed + "/q", bits // 2, e)
    return rsa_key_of_primes(p, q, e)


def rsa_key_of_primes(p, q, e=65537):
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    private = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return private.private_key()


def ed25519_key(seed):
    return Ed25519PrivateKey.from_private_bytes(expand(seed, 32))


def x25519_key(seed):
    return X25519PrivateKey.from_private_bytes(expand(seed, 32))


def pkcs8(private_key):
    return private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def oaep(public_key, message, label, seed, hash_name="sha256", mgf_hash_name="sha256"):
    """RSAES-OAEP of RFC 8017 with a chosen seed; the library's own cannot be made again."""
    numbers = public_key.public_numbers()
    size, hash_size = (public_key.key_size + 7) // 8, hashlib.new(hash_name).digest_size

    def mask(data, length):
        blocks = (hashlib.new(mgf_hash_name, data + n.to_bytes(4, "big")).digest() for n in range(length // 20 + 1))
        return b"".join(blocks)[:length]

    def xor(left, right):
        return bytes(a ^ b for a, b in zip(left, right, strict=True))

    block = hashlib.new(hash_name, label).digest()
    block += bytes(size - len(message) - 2 * hash_size - 2) + b"\x01" + message
    seed_bytes = expand(seed, hash_size)
    masked = xor(block, mask(seed_bytes, len(block)))
    encoded = b"\0" + xor(seed_bytes, mask(masked, hash_size)) + masked
    return pow(int.from_bytes(encoded, "big"), numbers.e, numbers.n).to_bytes(size, "big")
