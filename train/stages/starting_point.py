"""The model that Stage II starts from: what it brings along is kept, and said.

Contract: `open_starting_point` opens an encoder of any architecture of transformers, or a SentenceTransformer, by
folder or Hub id. A bare encoder gets a pooling; a SentenceTransformer keeps the pooling, the prompts and the
normalization that it was trained with, and gets normalization if it has none, since pairs are compared by cosine.

Invariant: nothing that a model says of itself is replaced in silence. Settings that contradict it are an error.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from ..common.model_folder import require_safetensors, require_sound_download
from ..common.model_weights import LOADING_ERRORS
from ..common.positions import longest_document

_DOWNLOADED = ["*.json", "*.txt", "*.model", "*.safetensors"]


class StartingPoint(NamedTuple):
    """A model to train.

    Attributes:
        model: a SentenceTransformer whose last module normalizes.
        text_prompt: what the model puts before a query.
        code_prompt: what it puts before a document.
        told: one line on what was kept, and what was added.
    """

    model: SentenceTransformer
    text_prompt: str
    code_prompt: str
    told: str


def local_folder(model: Path) -> Path:
    """Give the folder of a model, fetched from the Hub if there is none of that name.

    Raises:
        ValueError: there is no folder or model of that name, it is not safe to open, or its weights are pickles.
    """
    if not model.exists():
        from huggingface_hub import snapshot_download

        require_sound_download(str(model))
        model = Path(snapshot_download(str(model), allow_patterns=_DOWNLOADED))
    require_safetensors(model)
    return model


def open_starting_point(
    source: Path, pooling: Literal["mean", "cls"] | None, text_max_length: int, code_max_length: int
) -> StartingPoint:
    """Open a model in float32.

    Args:
        source: folder or Hub id.
        pooling: how states become an embedding; that of the model if None, or the mean (section 3 of the paper) if it
            has none.
        text_max_length: tokens to which texts will be cut.
        code_max_length: tokens to which code will be cut, also by the trained model.

    Raises:
        ValueError: it cannot be opened, or the settings contradict it.
    """
    folder = local_folder(source)
    options = {"dtype": torch.float32, "use_safetensors": True}
    brings_modules = (folder / "modules.json").is_file()
    try:
        if brings_modules:
            model = SentenceTransformer(str(folder), model_kwargs=options, local_files_only=True)
        else:
            transformer = Transformer(str(folder), model_kwargs=options | {"local_files_only": True})
            head = Pooling(transformer.get_embedding_dimension(), pooling or "mean")
            model = SentenceTransformer(modules=[transformer, head])
    except LOADING_ERRORS as error:
        raise ValueError(f"{source} cannot be opened as an encoder: {error}") from error
    if len(model) < 2 or not isinstance(model[0], Transformer) or not isinstance(model[1], Pooling):
        found = ", ".join(type(module).__name__ for module in model)
        raise ValueError(f"{source} is {found}: Stage II trains an encoder with a pooling of its token states")
    mode = model[1].pooling_mode
    if pooling is not None and mode != pooling:
        raise ValueError(f"{source} was trained with pooling {mode}, not {pooling}: leave out pooling to keep it")
    positions = longest_document(model[0].auto_model.config)
    if positions is not None and max(text_max_length, code_max_length) > positions:
        raise ValueError(f"text_max_length and code_max_length must be at most {positions}, the model's positions")
    added = [] if any(isinstance(module, Normalize) for module in model) else ["normalization"]
    if added:
        model.append(Normalize())
    before, model.max_seq_length = model.max_seq_length, code_max_length
    prompts = {name: prompt for name, prompt in model.prompts.items() if prompt}
    told = [f"pooling {mode}" if isinstance(mode, str) else f"pooling {', '.join(mode)}"]
    told += [f"prompt {name} {prompt!r}" for name, prompt in prompts.items()]
    told += [f"inputs cut to {code_max_length} tokens" + (f", before to {before}" if before != code_max_length else "")]
    if brings_modules:
        told = [f"kept of {source}: {told[0]}", *told[1:]]
    default = prompts.get(model.default_prompt_name or "", "")
    return StartingPoint(
        model,
        text_prompt=prompts.get("query", default),
        code_prompt=next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default),
        told="; ".join([*told, *(f"added: {what}" for what in added)]),
    )
