"""The folder of a static model: a table of token vectors that every library opens with equal results.

Contract: `write_static` writes what sentence-transformers' `StaticEmbedding`, model2vec and, with its remote code,
`AutoModel` open. `is_static` and `table` tell and read such a folder, also one that those libraries have written.

Invariants: the readers embed a text alike, since no special tokens are put around it, it is cut at `LONGEST` tokens,
and the unknown token, which model2vec leaves out, has a vector of zeros, which does not turn the mean. (model2vec cuts
a text before, too, at as many times the median length of a token in characters, which code rarely comes to.)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .model_layout import MODULES, STATIC, module_type
from .output import write_json
from .untrusted import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST = 512
"""Tokens at which texts are cut: where model2vec cuts them."""

STATIC_MODULES = [STATIC, "Normalize"]

EMBEDDINGS, WEIGHTS = "embeddings", "weights"
_OTHER_NAME = "embedding.weight"
"""What sentence-transformers calls a table that it saves."""


def is_static(folder: Path) -> bool:
    """Whether a model folder is a SentenceTransformer that begins with a table at its root."""
    try:
        modules = read_json(folder / MODULES)
    except ValueError:
        return False
    first = modules[0] if isinstance(modules, list) and modules else None
    return isinstance(first, dict) and module_type(first.get("type")) == STATIC and first.get("path") in ("", ".")


def table(tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """The vector of each token among the tensors of a static model; None if they have to be computed first."""
    weights = tensors.get(WEIGHTS)
    if "mapping" in tensors or (weights is not None and not (weights == 1).all()):
        return None
    return tensors.get(_OTHER_NAME, tensors.get(EMBEDDINGS))


def static_tokenizer(content: str) -> "Tokenizer":
    """A tokenizer that gives the tokens of a text alone, at most `LONGEST`.

    Args:
        content: of a `tokenizer.json`.
    """
    from tokenizers import Tokenizer

    data = json.loads(content)
    data["post_processor"] = data["padding"] = None
    data["truncation"] = {"direction": "Right", "max_length": LONGEST, "strategy": "LongestFirst", "stride": 0}
    return Tokenizer.from_str(json.dumps(data))


def unknown_token(tokenizer: "Tokenizer") -> str | None:
    """What a tokenizer gives for what it does not know."""
    return getattr(tokenizer.model, "unk_token", None)


def write_static(folder: Path, tokenizer: "Tokenizer", rows: NDArray[np.float16]) -> None:
    """Write a static model, with the code for `AutoModel`.

    Beside the table stand weights of its tokens, all 1, that model2vec multiplies with. sentence-transformers does so
    too, from version 6.2 on, and thereby computes in float32: in float16 its normalization makes NaN of zeros, which
    are the embedding of a text without known tokens.

    Args:
        folder: an empty folder.
        tokenizer: of `static_tokenizer`.
        rows: a vector for each of its tokens, [V, D].
    """
    from open_codesage.modeling import StaticCodeSageConfig
    from open_codesage.modeling.auto_classes import name_classes
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {EMBEDDINGS: np.ascontiguousarray(rows), WEIGHTS: np.ones(len(rows), np.float32)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    unknown = unknown_token(tokenizer)
    padding = next((token for token in special if "pad" in token.lower()), unknown)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": LONGEST,
        "model_input_names": ["input_ids", "attention_mask"],
        "pad_token": padding,
        "unk_token": unknown,
    }
    write_json(folder / "tokenizer_config.json", {key: value for key, value in settings.items() if value is not None})
    # As all versions of sentence-transformers name them; normalization has no settings, and needs no folder.
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(zip(("", "1_Normalize"), STATIC_MODULES, strict=True))
    ]
    (folder / MODULES).write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    config = StaticCodeSageConfig(
        vocab_size=rows.shape[0],
        hidden_size=rows.shape[1],
        pad_token_id=None if padding is None else tokenizer.token_to_id(padding),
        architectures=["StaticCodeSageModel"],
        dtype="float32",  # whatever is stored: what a CPU computes in
    )
    name_classes(config)
    config.save_pretrained(folder)
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
