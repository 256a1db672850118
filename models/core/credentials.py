"""Secrets of keys and people: how they are made, kept and compared. Pure but for randomness."""

import hashlib
import hmac
import secrets

KEY_PREFIX = "jev_"
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
"""RFC 7914's interactive parameters: 16 MiB and some tens of milliseconds per attempt."""
SHORTEST_PASSWORD = 10


def new_key() -> str:
    """A fresh API key with 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def key_digest(key: str) -> bytes:
    """What is kept of a key. 256 random bits cannot be guessed, so a fast hash without salt is enough."""
    return hashlib.sha256(key.encode()).digest()


def key_hint(key: str) -> str:
    """The first characters, to tell keys apart in a list."""
    return key[: len(KEY_PREFIX) + 6]


def hash_password(password: str) -> str:
    """What is kept of a password: parameters, salt and hash as one word."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, dklen=32, **SCRYPT)
    return f"scrypt${SCRYPT['n']}${SCRYPT['r']}${SCRYPT['p']}${salt.hex()}${digest.hex()}"


def is_password(password: str, kept: str) -> bool:
    """Whether a password is the one kept, compared in constant time."""
    _, n, r, p, salt, digest = kept.split("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), dklen=32, n=int(n), r=int(r), p=int(p))
    return hmac.compare_digest(found, bytes.fromhex(digest))


def password_mark(kept: str) -> str:
    """Tells one kept hash from the next, and nothing of the password without its salt: sessions carry it."""
    return hashlib.sha256(kept.encode()).hexdigest()[:16]
