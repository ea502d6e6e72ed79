"""LoRA adapters: where they go in a model, and how they are merged into it.

Contract: `lora` describes an adapter for a model, `merged` opens one together with its base as one whole model.

Invariant: an adapter folder names its base by an absolute path or a Hub id, so it opens from any working folder.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import PreTrainedModel

from ..common.model_folder import require_sound
from ..common.model_layout import ADAPTER
from ..common.model_weights import LOADING_ERRORS

TARGETS = ["c_attn", "c_proj", "c_fc"]
"""The projections of a CodeSage block: of the attention in and out, of the feed-forward layer in and out."""


def lora(model: PreTrainedModel, rank: int, task_type: str, **options: Any) -> LoraConfig:
    """Describe a LoRA adapter for all projections of a model's blocks.

    Args:
        model: a CodeSage model, or any other, of which all linear layers but the head are taken.
        rank: inner width of the two matrices beside each projection; their product counts twice.
        task_type: "FEATURE_EXTRACTION" or "SEQ_CLS".
        options: further options of `peft.LoraConfig`.

    Raises:
        ValueError: the model has no blocks.
    """
    ours = model.config.model_type == "codesage"
    if ours and not model.config.num_hidden_layers:
        raise ValueError("the model is a bag of tokens: without blocks LoRA has nothing to adapt, take method full")
    return LoraConfig(
        task_type=task_type,
        r=rank,
        lora_alpha=2 * rank,
        target_modules=TARGETS if ours else "all-linear",
        # The weights of these projections are stored as [in, out].
        fan_in_fan_out=ours,
        **options,
    )


def merged(adapter: Path, auto_class: Any, **options: Any) -> PreTrainedModel:
    """Open the base of an adapter and add the adapter to its weights, in float32.

    Args:
        adapter: an adapter folder.
        auto_class: the Auto class of the base.
        options: further options of its `from_pretrained`.

    Raises:
        ValueError: the base cannot be opened.
    """
    require_sound(adapter)
    base = PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    try:
        model = auto_class.from_pretrained(
            base, dtype=torch.float32, use_safetensors=True, local_files_only=True, **options
        )
    except LOADING_ERRORS as error:
        raise ValueError(f"{adapter / ADAPTER} names the base model {base}, which cannot be opened: {error}") from error
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
