"""Random numbers by counting: every number is a pure function of the words that name the place where it is used.

Contract: `derive(key, word)` is output number `word` of the generator SplitMix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014) started at `key`; outputs serve as keys again. So
`derive(derive(seed, epoch), row)` is the same whatever was drawn before, in any order, process or version of NumPy.

What has a name and no number, such as a file, is drawn by it: `draw(name)` orders names by chance, and takes a share.

Invariant: arrays are uint64; nothing here has a state.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_STEP, _FIRST, _SECOND = (
    np.array(word, np.uint64) for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_SHIFTS = np.array([30, 27, 31], np.uint64)


def derive(key: int | Words, word: int | npt.NDArray[np.integer]) -> Words:
    """Draw the random words with the given numbers from the generators with the given keys.

    Args:
        key: seeds or earlier words. A Python integer of any size is taken modulo 2**64.
        word: numbers from 0, of a shape that broadcasts against the keys.

    Returns:
        Uniform words, of the broadcast shape.
    """
    z = np.asarray(_words(word) * _STEP + (_words(key) + _STEP))
    z ^= z >> _SHIFTS[0]
    z *= _FIRST
    z ^= z >> _SHIFTS[1]
    z *= _SECOND
    z ^= z >> _SHIFTS[2]
    return z


def draw(name: str, size: int = 8) -> int:
    """Draw a number from 0 to 256**size - 1 by a name alone.

    Args:
        name: what tells it from the others of a draw, a seed included if there is one.
        size: bytes of the number; more than 8 serve only to repeat draws of corpora that were made so.
    """
    return int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=size).digest())


def uniform(words: Words) -> npt.NDArray[np.float64]:
    """Turn random words into numbers in [0, 1): their upper 53 bits, which is all that a double holds."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: int | Words, length: int) -> npt.NDArray[np.int64]:
    """Shuffle the numbers below `length`: sort them by the random words that they name."""
    return np.argsort(derive(key, np.arange(length, dtype=np.uint64)), kind="stable")


def _words(value: int | npt.NDArray[np.integer]) -> Words:
    """Give an array of at least one dimension, which unlike a scalar wraps around in silence."""
    if isinstance(value, int):
        return np.array([value % 2**64], np.uint64)
    return np.atleast_1d(value).astype(np.uint64, copy=False)
