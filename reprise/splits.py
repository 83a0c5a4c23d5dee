"""Which split a document belongs to, decided by its text alone."""

import hashlib

from reprise.corpus import SPLITS

TRAIN, VALID, TEST = range(len(SPLITS))

DIGEST_BYTES = 16


def text_digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=DIGEST_BYTES).digest()


def drawn_split(digest: bytes, seed: int, valid_fraction: float, test_fraction: float) -> int:
    """The split of a text by its digest: no other document has a say.

    valid is drawn from the low end and test from the high end, so that changing one fraction moves
    no document in or out of the other.
    """
    position = _position(digest, seed)
    if position < valid_fraction:
        return VALID
    if position >= 1 - test_fraction:
        return TEST
    return TRAIN


def is_in_fraction(digest: bytes, seed: int, fraction: float) -> bool:
    """A draw of its own; what is in a smaller fraction is in every larger one too."""
    return fraction >= 1 or _position(digest, seed, person=b"fraction") < fraction


def _position(digest: bytes, seed: int, person: bytes = b"") -> float:
    """Evenly spread from 0 to below 1."""
    key = seed.to_bytes(16, "little")
    drawn = hashlib.blake2b(digest, digest_size=8, key=key, person=person).digest()
    return int.from_bytes(drawn, "little") / 2**64
