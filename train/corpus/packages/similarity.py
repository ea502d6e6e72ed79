"""When two texts say the same: shingles of tokens, and near-duplicates by MinHash.

Contract: `tokens` and `shingles` turn a text into a set of numbers, one for every five tokens in a row (words and
single signs, so white space does not count). The Jaccard index of two such sets tells how much they have in common;
`NearDuplicates` finds texts above a bound by MinHash and locality-sensitive hashing (Broder, "On the resemblance and
containment of documents", 1997) with the library datasketch.

Invariant: numbers and signatures are functions of the text alone, the same in every process and on every machine.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint64]
Shingles = npt.NDArray[np.uint64]

SIZE = 5
"""Tokens in a shingle."""
PERMUTATIONS = 128
"""Values of a signature; the estimated Jaccard index has a standard deviation of at most 0.045."""
SIGNATURE_BYTES = 4 * PERMUTATIONS
THRESHOLD = 0.8

_SCHEME = "affine32"
_WORD, _SIGN = 1, 2
_KINDS = np.full(256, _SIGN, np.uint8)
_KINDS[[*range(33), 127]] = 0
_KINDS[[*b"0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *range(128, 256)]] = _WORD
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 2**64)
_PIECE = 1 << 12


def tokens(text: str) -> Tokens:
    """Hash the tokens of a text: runs of letters, digits and underscores, and single signs.

    The hash of a token is that of its bytes as a polynomial modulo 2^64, taken from one running sum over the text, so
    that no token is touched in Python.

    Returns:
        One number a token, in order.
    """
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    kinds = _KINDS[data]
    before = np.concatenate(([0], kinds[:-1])) if len(kinds) else kinds
    after = np.concatenate((kinds[1:], [0])) if len(kinds) else kinds
    starts = np.flatnonzero((kinds == _SIGN) | ((kinds == _WORD) & (before != _WORD)))
    ends = np.flatnonzero((kinds == _SIGN) | ((kinds == _WORD) & (after != _WORD))) + 1
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * _powers(_BASE, len(data)), out=sums[1:])
    return _mix((sums[ends] - sums[starts]) * _powers(_INVERSE, len(data))[starts])


def shingles(hashes: Tokens, size: int = SIZE) -> Shingles:
    """Combine every `size` tokens in a row; sorted, each once. A shorter text is one shingle, if it has a token.

    Args:
        hashes: what `tokens` gave.
        size: tokens in a shingle.
    """
    count = max(len(hashes) - size + 1, min(len(hashes), 1))
    combined = np.zeros(count, np.uint64)
    for offset in range(min(size, len(hashes))):
        combined = combined * np.uint64(_BASE) + hashes[offset : offset + count]
    return np.unique(_mix(combined))


def signature(numbers: Shingles) -> bytes:
    """The MinHash signature of a set of shingles, `SIGNATURE_BYTES` long."""
    sketch = _sketch()
    sketch.clear()
    # The library works on 32 bits, and in pieces its tables stay in the processor's cache.
    short = (numbers >> np.uint64(32)).tolist()
    for start in range(0, len(short), _PIECE):
        sketch.update_batch(short[start : start + _PIECE])
    return np.ascontiguousarray(sketch.hashvalues, "<u4").tobytes()


class NearDuplicates:
    """Texts, among which near-duplicates of others are found.

    Args:
        threshold: the least estimated Jaccard index of near-duplicates.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        from datasketch import MinHashLSH

        self.threshold = threshold
        # Recall counts for more than candidates that are compared for nothing.
        self._index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
        self._signatures: dict[int, npt.NDArray[np.uint32]] = {}

    def find_or_add(self, key: int, data: bytes) -> int | None:
        """Give the key of a near-duplicate that was added before; if there is none, add this text.

        Args:
            key: number of the text, not given before.
            data: its signature.
        """
        values = np.frombuffer(data, "<u4")
        sketch = _sketch_of(values)
        for candidate in sorted(self._index.query(sketch)):
            if np.mean(self._signatures[candidate] == values) >= self.threshold:
                return candidate
        self._index.insert(key, sketch, check_duplication=False)
        self._signatures[key] = values
        return None


@cache
def _sketch() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme=_SCHEME)


def _sketch_of(values: npt.NDArray[np.uint32]) -> Any:
    from datasketch import MinHash

    return MinHash(seed=1, hashvalues=values, permutations=_sketch().permutations, scheme=_SCHEME)


_table: dict[int, npt.NDArray[np.uint64]] = {}


def _powers(base: int, length: int) -> npt.NDArray[np.uint64]:
    """The powers of a number modulo 2^64, from the power 0; kept for the longest text."""
    known = _table.get(base)
    if known is None or len(known) < length:
        factors = np.full(max(length, 1 << 16), base, np.uint64)
        factors[0] = 1
        known = _table[base] = np.cumprod(factors)
    return known[:length]


def _mix(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread what differs in a few bits over all of them (the finalizer of MurmurHash3)."""
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return numbers ^ (numbers >> np.uint64(33))
