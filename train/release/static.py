"""The Hub folder of a static model: what it holds, how it is written, and its check.

Contract: `write` turns the folder of `distill`, or a table that sentence-transformers or model2vec has saved, into a
Hub folder that both open without remote code, and `AutoModel` with it. `problems` is the part of `check.check_folder`
for such folders: that all ways in give one embedding.

Invariant: the table is stored in half precision and opened in full.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.model_folder import require_sound
from ..common.model_layout import MODULES, module_type
from ..common.model_weights import LOADING_ERRORS
from ..common.static_model import (
    EMBEDDINGS,
    LONGEST,
    STATIC_MODULES,
    WEIGHTS,
    static_tokenizer,
    table,
    unknown_token,
    write_static,
)
from ..common.untrusted import brief, read_json, read_object
from .card import model_card
from .layout import PROBES, TOLERANCE

if TYPE_CHECKING:
    from .config import ExportConfig


def write(config: "ExportConfig", folder: Path) -> int:
    """Write table, tokenizer, code and card.

    Returns:
        The number of parameters.

    Raises:
        ValueError: the model has a part, or the config an option, that the folder has no place for.
    """
    from open_codesage.modeling import StaticCodeSageConfig
    from safetensors.torch import load_file

    source = config.model
    require_sound(source)
    if config.onnx or config.dtype != "float32":
        raise ValueError(
            f"{source} is a static model, which is stored as float16 and needs no graph: leave out onnx and dtype"
        )
    modules = [module_type(module.get("type")) for module in read_json(source / MODULES)]
    if modules != STATIC_MODULES:
        raise ValueError(
            f"{source} is {', '.join(map(str, modules))}: only {', '.join(STATIC_MODULES)} can be exported"
        )
    tensors = load_file(source / "model.safetensors")
    rows = table({name: tensor.half().numpy() for name, tensor in tensors.items()})
    if rows is None or not np.isfinite(rows).all():
        raise ValueError(f"{source} holds no table that can be stored as float16 as it is")
    tokenizer = static_tokenizer((source / "tokenizer.json").read_text(encoding="utf-8"))
    write_static(folder, tokenizer, rows)
    encoder = StaticCodeSageConfig.from_pretrained(folder)
    model_card(config, encoder, rows.size, LONGEST).save(folder / "README.md")
    return int(rows.size)


def problems(folder: Path) -> list[str]:
    """Check a folder whose files, code and card have been found sound.

    Returns:
        One sentence per problem.
    """
    return _table_problems(folder) or _embedding_problems(folder)


def _table_problems(folder: Path) -> list[str]:
    """What makes a reader fail, or read something else than the others."""
    from open_codesage.modeling import StaticCodeSageConfig
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    file, config = folder / "model.safetensors", read_object(folder / "config.json")
    rows = load_file(file)
    found = []
    if config.get("model_type") != (kind := StaticCodeSageConfig.model_type):
        found.append(f"{folder / 'config.json'}: model_type is {brief(config.get('model_type'))}, not {kind}")
    if rows.keys() - {EMBEDDINGS, WEIGHTS} or table(rows) is None:
        return [
            f"{file} holds {', '.join(sorted(rows))}: a table called {EMBEDDINGS} belongs there, and {WEIGHTS} of 1"
        ]
    stored = rows[EMBEDDINGS]
    if list(stored.shape) != (sizes := [config.get("vocab_size"), config.get("hidden_size")]):
        found.append(f"{folder / 'config.json'} asks for {sizes} as {EMBEDDINGS}, but {list(stored.shape)} is stored")
    if stored.dtype != np.float16:
        found.append(f"{file}: {EMBEDDINGS} is {stored.dtype}, not float16; export it again")
    if config.get("normalize") is not True:
        found.append(f"{folder / 'config.json'}: normalize is not true, so model2vec would not normalize")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unknown = unknown_token(tokenizer)
    if unknown is not None and stored[tokenizer.token_to_id(unknown)].any():
        found.append(f"{file}: the vector of {unknown} is not zero, but model2vec leaves that token out")
    if (tokenizer.truncation or {}).get("max_length") != LONGEST:
        found.append(f"{folder / 'tokenizer.json'} does not cut a text at {LONGEST} tokens, as model2vec does")
    return found


def _embedding_problems(folder: Path) -> list[str]:
    """Compare the embeddings of sentence-transformers with the normalized output of our own class."""
    import torch
    from open_codesage.modeling import StaticCodeSageModel
    from sentence_transformers import SentenceTransformer
    from torch.nn.functional import normalize
    from transformers import PreTrainedTokenizerFast

    texts = [*PROBES, "[MASK] <mask>", "\ue000", "\n".join(PROBES) * LONGEST]
    try:
        opened = SentenceTransformer(str(folder), device="cpu", local_files_only=True).float()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        model = StaticCodeSageModel.from_pretrained(folder, local_files_only=True)
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            expected = normalize(model(**batch).pooler_output, dim=-1)
    except LOADING_ERRORS as error:
        return [f"{folder} cannot be opened: {error}"]
    difference = (opened.encode(texts, convert_to_tensor=True) - expected).abs().max().item()
    if not difference <= TOLERANCE:
        return [
            f"{folder}: the embedding of SentenceTransformer is {difference:.1e} away from the normalized "
            "pooler_output of AutoModel"
        ]
    return []
