"""A tiny static model, made in memory: WordPiece of a few texts and a table of random vectors.

Tests take it with `runpy.run_path`.
"""

import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from open_codesage.train.common.static_model import static_tokenizer, unknown_token, write_static

TEXTS = [
    "open the door of a shop",
    "def merge_windows(first, second):\n    return first + second\n",
    "[MASK] <mask> 600",
]
CASES = {
    "plain": "open the door",
    "empty": "",
    "special": "open [MASK] <mask> [CLS] [PAD] [UNK]",
    "long": "d o s h p r t " * 100,
    "partly unknown": "open 漢字 \U0001f600 door",
    "unknown": "漢字 \U0001f600",
}
"""Texts on which readers could differ.

`long` has more than 600 tokens, short ones, since model2vec also cuts at 512 times the median length of a token.
"""

encoders = runpy.run_path(str(Path(__file__).with_name("tiny_encoders.py")))


def write(folder: Path, texts: Sequence[str] = TEXTS, dimensions: int = 16) -> Path:
    """Write a static model of random vectors for the tokens of some texts."""
    tokenizer = static_tokenizer(encoders["wordpiece"](texts).backend_tokenizer.to_str())
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), dimensions)).astype(np.float16)
    rows[tokenizer.token_to_id(unknown_token(tokenizer))] = 0
    folder.mkdir(parents=True)
    write_static(folder, tokenizer, rows)
    return folder
