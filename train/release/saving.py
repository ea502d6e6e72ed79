"""Weights, config and tokenizer as every release stores them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.disk import require_space

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def save_released(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, dtype: str, save: Callable[[], None]
) -> int:
    """Save a model as it is released: with the classes of its code, its tokenizer's ids, and float32 to compute in.

    Args:
        model: an encoder or a classifier; its weights are left in the stored format.
        tokenizer: its tokenizer.
        folder: where `save` writes.
        dtype: number format of the stored weights.
        save: writes model and tokenizer to the folder.

    Returns:
        The number of the model's parameters.
    """
    from open_codesage.modeling.auto_classes import name_classes

    name_classes(model.config)
    # No computation reads these ids, so a model can be trained with those of another tokenizer.
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
    return save_opened_as_float32(model, tokenizer, folder, dtype, save)


def save_opened_as_float32(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, dtype: str, save: Callable[[], None]
) -> int:
    """Save a model of any architecture, whatever the stored format, so that it is opened as float32.

    Args:
        model: as `save_released`, and so the others.
        tokenizer: see there.
        folder: see there.
        dtype: see there.
        save: see there.

    Returns:
        The number of the model's parameters.
    """
    import torch
    from open_codesage.tokenization.tokenizer import forget_calls

    parameters = model.num_parameters()
    for key in ("is_local", "local_files_only"):  # How it was opened here says nothing about the tokenizer.
        tokenizer.init_kwargs.pop(key, None)
    forget_calls(tokenizer)
    model.to(getattr(torch, dtype))
    require_space(folder, parameters * getattr(torch, dtype).itemsize, "The model")
    save()
    # Saving has noted the stored format, in which AutoModel would compute.
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    # safetensors makes its files readable by their owner alone.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
    return parameters
