"""Stage I of an encoder that others have made: what differs from that of our own.

Contract: `pretrain.main` asks `is_native` whether `init_from` is an encoder whose code is part of transformers, and
takes its model, its collators and its loss from here. A file is a row; what is longer than `max_length` shows another
part in each epoch. Rows are parsed and masked in the loader's workers, since such an encoder does not isolate documents
that share a row, and its tokenizer has special tokens of its own.

Invariant: masks and shown parts are a function of the seed, the epoch and the text, so a resumed run is exact.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from ..common.model_weights import LOADING_ERRORS
from ..common.positions import longest_document
from ..common.untrusted import read_object
from .configs import PretrainConfig
from .data.text_masking import DataCollatorForIdentifierMasking
from .starting_point import local_folder

COLUMNS = ["text", "language"]


def is_native(source: Path | None) -> bool:
    """Say whether a model is one whose code is part of transformers, by folder or Hub id."""
    return source is not None and read_object(local_folder(source) / "config.json").get("model_type") != "codesage"


def initial_native_model(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, report: Callable[[str], None]
) -> PreTrainedModel:
    """Open the masked LM of `init_from`; a head that its checkpoint lacks is new, and announced.

    Raises:
        ValueError: it cannot be opened, lacks more than a head, or does not fit the settings or the tokenizer.
    """
    if config.model:
        raise ValueError(
            f"model changes the sizes of our own encoder; {config.init_from} keeps those of its config.json"
        )
    if config.init_from is None:
        raise ValueError("there is no model to start from: give init_from")
    set_seed(config.seed)
    folder = local_folder(config.init_from)
    try:
        model, info = AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except LOADING_ERRORS as error:
        raise ValueError(f"{config.init_from} cannot be opened as a masked language model: {error}") from error
    inner = f"{model.base_model_prefix}."
    if missing := sorted(name for name in info["missing_keys"] if name.startswith(inner)):
        raise ValueError(f"{config.init_from} has no weights for {', '.join(missing[:8])}")
    if new := sorted(info["missing_keys"]):
        report(
            f"Stage I: {config.init_from} has no head for masked tokens: {', '.join(new)} are new; head_only trains "
            "them alone, in a first run"
        )
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(f"{config.tokenizer} has {len(tokenizer)} tokens, the model {model.config.vocab_size}")
    longest = longest_document(model.config)
    if longest is not None and config.max_length > longest:
        raise ValueError(f"max_length {config.max_length} is over the {longest} tokens that the model takes")
    return model


def text_collator(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, seed: int, **masks: Any
) -> DataCollatorForIdentifierMasking:
    """Make the collator of a corpus' files, in the order of an `EpochStream`."""
    return DataCollatorForIdentifierMasking(
        tokenizer,
        seed=seed,
        max_length=config.max_length,
        text_column=COLUMNS[0],
        language_column=COLUMNS[1],
        epoch_column="epoch",
        # Compiled code is made for one shape.
        pad_to_multiple_of=config.max_length if config.compile else None,
        **masks,
    )


def masked_lm_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Sum the loss of labelled positions and divide by the labels of the whole step, whatever a model class does.

    Args:
        outputs: with `logits`, [B, T, V].
        labels: the original token of each position to predict, elsewhere -100, [B, T].
        num_items_in_batch: labels of all parts of the step; those of this one if None.
    """
    labelled = labels != -100
    summed = F.cross_entropy(outputs.logits[labelled].float(), labels[labelled], reduction="sum")
    return summed / (labelled.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)
