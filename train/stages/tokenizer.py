"""The step from a corpus to a tokenizer.

Contract: reads the training files of a corpus folder, never the held-out ones, and writes a folder that `AutoTokenizer`
opens. What is learned, and how, is in `open_codesage.tokenization.tokenizer`.

Invariant: the same corpus and settings give the same files, byte for byte.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.console import say
from ..common.output import new_folder
from .configs import TokenizerConfig

if TYPE_CHECKING:
    import datasets


def main(config: TokenizerConfig) -> Path:
    """Learn and write the tokenizer.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the output is there already, the corpus is missing or damaged, or the sizes are too small.
    """
    from open_codesage.tokenization.tokenizer import train_tokenizer

    from ..corpus.corpus import Corpus

    files = Corpus(config.corpus).files("train", config.languages or None)
    with new_folder(config.output) as folder:
        sample = Sample(files, config.max_megabytes)
        tokenizer = train_tokenizer(sample, config.vocab_size, config.max_length)
        tokenizer.save_pretrained(str(folder))
    short = f" (of {config.vocab_size:,}: there is no more to learn)" * (len(tokenizer) < config.vocab_size)
    say(f"tokenizer: {len(tokenizer):,} tokens{short} from {sample.files:,} files, {sample.bytes / 1e6:.1f} MB")
    return config.output


class Sample:
    """The texts to learn from, and how much they are.

    Attributes:
        files: number of texts given so far.
        bytes: their size in UTF-8.
    """

    def __init__(self, rows: "datasets.Dataset", max_megabytes: float | None) -> None:
        self.rows, self.max_megabytes = rows, max_megabytes
        self.files = self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        """Give all texts in their order or, with a limit, texts of each language by chance until it is reached."""
        from tqdm import tqdm

        from ..corpus.mixture import limit_languages

        rows = self.rows if self.max_megabytes is None else limit_languages(self.rows, self.max_megabytes, seed=0)
        with tqdm(desc="tokenizer", unit="B", unit_scale=True) as bar:
            for batch in rows.select_columns(["text"]).iter(100):
                for text in batch["text"]:
                    size = len(text.encode())
                    self.files += 1
                    self.bytes += size
                    bar.update(size)
                    yield text
