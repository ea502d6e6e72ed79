"""Languages in other proportions than the corpus has them: temperature sampling, and a limit for each.

Contract: `mix_languages` draws rows so that a language of n rows has a share proportional to n to the power of an
exponent, as Lample and Conneau do ("Cross-lingual Language Model Pretraining", 2019, section 3.1): 1 leaves the rows as
they are, 0 gives every language as many. Their number stays the same but for rounding.

Invariant: rows of a language that gets more are there whole times before one is there once more; those that are drawn
depend on the seed and the rows' order only.
"""

import datasets
import numpy as np
import numpy.typing as npt

from ..common.randomness import derive, permutation


def mix_languages(rows: datasets.Dataset, exponent: float, seed: int) -> datasets.Dataset:
    """Draw rows of every language.

    Args:
        rows: rows with the column `language`.
        exponent: from 0 to 1; see above.
        seed: seed of the choice.

    Returns:
        The rows drawn, in the order of the dataset; a row may be there several times.

    Raises:
        ValueError: the exponent is not from 0 to 1.
    """
    if not 0 <= exponent <= 1:
        raise ValueError(f"language_exponent is {exponent}: give a number from 0 (equal shares) to 1 (as they are)")
    if exponent == 1 or not len(rows):
        return rows
    groups = rows_by_language(rows)
    weights = np.array([float(len(own)) for own in groups]) ** exponent
    wanted = np.maximum(1, np.rint(len(rows) * weights / weights.sum())).astype(int)
    drawn = []
    for number, own in enumerate(groups):
        whole, rest = divmod(int(wanted[number]), len(own))
        drawn += [np.repeat(own, whole), own[permutation(derive(seed, number), len(own))[:rest]]]
    return rows.select(np.sort(np.concatenate(drawn)))


def rows_by_language(rows: datasets.Dataset) -> list[npt.NDArray[np.int64]]:
    """The numbers of the rows of each language, languages by name."""
    languages = np.array(rows["language"][:])
    return [np.flatnonzero(languages == language) for language in np.unique(languages)]


def limit_languages(rows: datasets.Dataset, megabytes: float, seed: int) -> datasets.Dataset:
    """Draw files of each language by chance until they are as large as that.

    Args:
        rows: rows with the columns `text` and `language`.
        megabytes: size of the texts of a language in UTF-8, which its last file may exceed.
        seed: seed of the choice.

    Returns:
        The rows drawn, by language.
    """
    drawn = []
    for own in rows_by_language(rows):
        size = 0
        for row in own[permutation(seed, len(own))]:
            drawn.append(int(row))
            size += len(rows[int(row)]["text"].encode())
            if size >= megabytes * 1e6:
                break
    return rows.select(drawn)
