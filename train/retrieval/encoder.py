"""A model as a text encoder, through sentence-transformers.

Contract: `open_sentence_model` opens a folder or Hub id that sentence-transformers or `AutoModel` can open; a model
without a pooling of its own gets the mean over its tokens, and one that is stored in half precision computes in full.
`Encoder` embeds texts in batches of similar length, and
counts those that it cuts. Weights are safetensors only.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import open_codesage.modeling  # noqa: F401  (registers the model classes)
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from tokenizers import Tokenizer

from ..common.model_folder import require_safetensors, require_sound, require_sound_download
from ..common.model_layout import MODULES
from ..common.model_weights import LOADING_ERRORS

Side = Literal["query", "document"]

_COUNTED_AT_ONCE = 1000


def open_sentence_model(model: str) -> SentenceTransformer:
    """Open a model in float32.

    Args:
        model: folder or Hub id.

    Raises:
        ValueError: it cannot be opened.
    """
    folder = Path(model)
    if not folder.exists():
        require_sound_download(model)
    elif (folder / MODULES).is_file():
        require_sound(folder)
    else:
        require_safetensors(folder)
    options = {"dtype": torch.float32, "use_safetensors": True}
    try:
        # Of a model from the Hub only what has been looked at: the library would fetch pickles, too.
        # `dtype` does not reach a table of token vectors.
        return SentenceTransformer(model, model_kwargs=options, local_files_only=True).float()
    except LOADING_ERRORS as error:
        raise ValueError(f"model {model} cannot be opened: {error}") from error


def longest_input(model: SentenceTransformer) -> int | None:
    """The most tokens that a model takes, None if there is no limit."""
    if (tokenizer := _table_tokenizer(model)) is not None:
        return tokenizer.truncation["max_length"] if tokenizer.truncation else None
    longest = model.max_seq_length
    return None if longest is None or math.isinf(longest) else int(longest)


def _table_tokenizer(model: SentenceTransformer) -> Tokenizer | None:
    """The tokenizer of a table of token vectors, which alone says where texts are cut; None of any other model."""
    tokenizer = getattr(model[0], "tokenizer", None)
    return tokenizer if isinstance(tokenizer, Tokenizer) else None


@contextmanager
def limited(model: SentenceTransformer, length: int | None) -> Iterator[None]:
    """Let a model cut its inputs at a length for a while; None leaves it as it is."""
    before = model.max_seq_length if _table_tokenizer(model) is None else longest_input(model)
    if length is None or length == before:
        yield
        return
    cut_at(model, length)
    try:
        yield
    finally:
        cut_at(model, before)


def cut_at(model: SentenceTransformer, length: int | None) -> None:
    """Let a model cut its inputs at a length from now on; None: nowhere."""
    if (tokenizer := _table_tokenizer(model)) is None:
        model.max_seq_length = length
    elif length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(length)


def count_cut(model: SentenceTransformer, texts: Sequence[str], length: int | None, prompt: str = "") -> int:
    """Count the texts that have more tokens than a length, behind a prompt; None is no limit."""
    tokenizer = _table_tokenizer(model)
    if length is None or (tokenizer is None and not callable(model.tokenizer)):
        return 0
    count = 0
    for start in range(0, len(texts), _COUNTED_AT_ONCE):
        some = [prompt + text for text in texts[start : start + _COUNTED_AT_ONCE]]
        if tokenizer is None:
            tokens = model.tokenizer(some, truncation=True, max_length=length + 1, padding=False)["input_ids"]
        else:
            with limited(model, length + 1):
                tokens = [row.ids for row in tokenizer.encode_batch(some, add_special_tokens=False)]
        count += sum(len(row) > length for row in tokens)
    return count


class Encoder:
    """A model that turns texts into embeddings.

    Args:
        model: folder or Hub id, or a model that is open.
        batch_size: texts per batch.
        max_length: longest input in tokens, cut beyond; what the model was made for if None.
        show_progress: show a bar over the documents.
        query_max_length: the same of queries; `max_length` if None.

    Raises:
        ValueError: the model cannot be opened, cannot take inputs of this length, or gives no embedding of a text.
    """

    def __init__(
        self,
        model: str | SentenceTransformer,
        batch_size: int,
        max_length: int | None = None,
        show_progress: bool = True,
        query_max_length: int | None = None,
    ) -> None:
        self.model = open_sentence_model(model) if isinstance(model, str) else model
        self.batch_size, self.show_progress = batch_size, show_progress
        longest, called = longest_input(self.model), model if isinstance(model, str) else "the model"
        for name, length in (("max_length", max_length), ("query_max_length", query_max_length)):
            if length is not None and longest is not None and length > longest:
                raise ValueError(f"{name} is {length}, but {called} takes at most {longest} tokens")
        document = longest if max_length is None else max_length
        query = document if query_max_length is None else query_max_length
        self.lengths: dict[Side, int | None] = {"query": query, "document": document}

    def queries(self, texts: list[str]) -> torch.Tensor:
        """Embed queries: float32 [number of texts, width], on the CPU."""
        return self.embed(texts, "query")

    def documents(self, texts: list[str]) -> torch.Tensor:
        """Embed documents: float32 [number of texts, width], on the CPU."""
        return self.embed(texts, "document")

    def embed(self, texts: list[str], side: Side) -> torch.Tensor:
        """Embed texts of one side: float32 [number of texts, width], on the CPU.

        Raises:
            ValueError: the model gives no embedding of a text.
        """
        encode = self.model.encode_query if side == "query" else self.model.encode_document
        try:
            with limited(self.model, self.lengths[side]):
                vectors = encode(
                    texts,
                    batch_size=self.batch_size,
                    convert_to_tensor=True,
                    show_progress_bar=self.show_progress and side == "document",
                )
        except KeyError as error:
            if error.args != ("sentence_embedding",):
                raise
            raise ValueError(
                "the model gives states of tokens but no embedding of a text, since its modules.json has no pooling: "
                "add the module sentence_transformers.sentence_transformer.modules.Pooling with the mode that it was "
                "trained with, or name the folder of its transformer, whose tokens are averaged"
            ) from error
        return vectors.float().cpu()

    def cut(self, texts: Sequence[str], side: Side) -> int:
        """Count the texts that are longer than the model is shown."""
        return count_cut(self.model, texts, self.lengths[side], self._prompt(side))

    def treatment(self, side: Side) -> str:
        """All that decides, beside the weights, what a text becomes: equal for both sides of most models."""
        apart = side if any(isinstance(module, Router) for module in self.model) else "either"
        return f"{apart}, prompt {self._prompt(side)!r}, {self.lengths[side]} tokens"

    def _prompt(self, side: Side) -> str:
        # As encode_query and encode_document of sentence-transformers choose it.
        names = ("query",) if side == "query" else ("document", "passage", "corpus")
        prompts = self.model.prompts
        name = next((name for name in names if name in prompts), self.model.default_prompt_name)
        return (prompts.get(name) if name else None) or ""
