"""The Hub folder of a classifier: what it holds, how it is written, and its check.

Contract: `write` turns a folder of `finetune --task classification` (or a merged one) into a Hub folder that opens
through `AutoModelForSequenceClassification` and `AutoTokenizer`, and through the other Auto classes as the encoder
alone. `problems` is the part of `folder.check_folder` that only a classifier needs.

Invariant: the card's classes and figures are those of the config and of the record of the run.
"""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ExportConfig


def write(config: "ExportConfig", folder: Path) -> int:
    """Write model, code, tokenizer and card of a classifier.

    Returns:
        The number of parameters.

    Raises:
        ValueError: something is asked for that a classifier has not, or the model or its record cannot be read.
    """
    import open_codesage.modeling  # noqa: F401 (registers our classes with the Auto classes)
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from ..common.model_folder import require_safetensors
    from .saving import save_released

    if asked := [name for name in ("onnx", "corpus", "stage_one", "metrics", "baselines") if getattr(config, name)]:
        raise ValueError(f"{config.model} is a classifier, for which there is no {', '.join(asked)}: leave it out")
    require_safetensors(config.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        config.model, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(config.model, local_files_only=True)

    def save() -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    parameters = save_released(model, tokenizer, folder, config.dtype, save)
    _card(config, model.config, parameters, tokenizer.model_max_length).save(folder / "README.md")
    return parameters


def problems(folder: Path) -> list[str]:
    """Open a folder that has been found sound, and classify with it."""
    import open_codesage.modeling  # noqa: F401 (registers our classes, so that none is taken from the folder)
    import torch
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    from ..common.model_weights import LOADING_ERRORS
    from .layout import PROBES

    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except LOADING_ERRORS as error:
        return [f"{folder} cannot be opened as a classifier: {error}"]
    if missing := sorted(info["missing_keys"]):
        return [f"{folder}: the weights lack {', '.join(missing)}"]
    batch = PreTrainedTokenizerFast.from_pretrained(folder)(list(PROBES), padding=True, return_tensors="pt")
    with torch.inference_mode():
        scores = model.eval()(**batch).logits
    return [] if scores.isfinite().all() else [f"{folder}: the scores of the classes hold NaN or Inf"]


def _card(config: "ExportConfig", model: Any, parameters: int, max_length: int) -> Any:
    from huggingface_hub import ModelCard, ModelCardData

    from .card import tuning_facts

    title = config.model_id.rpartition("/")[2]
    metadata = ModelCardData(
        language=["code"],
        license=config.license,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["transformers", "text-classification", "code", "codesage", "custom_code", *config.languages],
        datasets=list(config.datasets) or None,
        base_model=config.base_model,
    )
    return ModelCard.from_template(
        metadata,
        template_str=resources.files("open_codesage.model_cards").joinpath("classifier.md").read_text(encoding="utf-8"),
        name=config.model_id,
        title=title,
        license=config.license,
        base_model=config.base_model,
        dtype=config.dtype,
        data=config.data,
        model=model,
        parameters=parameters,
        max_length=max_length,
        languages=config.languages,
        classes=list(model.id2label.values()),
        record=tuning_facts(config.model),
    )
