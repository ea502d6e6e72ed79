"""Convert: from a checkpoint as the authors of CodeSage published it to a Hub folder of ours.

Contract: the folder is one that `export` could have written (same files, same check), with the authors' weights and the
ids of their tokenizer; its card names the origin and its license.

Invariants: no code of the checkpoint runs. At `output` stands a whole, valid folder or what was there before.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import ConvertConfig, ExportConfig
from .export import check_output, write_hub_folder

if TYPE_CHECKING:
    import torch

TRAINED_LENGTH = 1024
"""Tokens of the longest input in the authors' training (paper, Table 5), half of the positions that they published."""

LANGUAGES = ("c", "csharp", "go", "java", "javascript", "php", "python", "ruby", "typescript")
"""The languages of the authors' training data (paper, Table 4)."""


def main(config: ConvertConfig) -> Path:
    """Write the Hub folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the checkpoint or the output folder cannot be used; the message says what to do.
    """
    from open_codesage.modeling import CodeSageModel

    from ..common.console import say
    from ..common.output import new_folder
    from .original_checkpoint import read_card, read_config, read_tokenizer, read_weights

    encoder = read_config(config.source)
    card = read_card(config.source)
    origin = config.origin or _origin(config.source)
    release = ExportConfig(
        model=config.source,
        output=config.output,
        name=config.name,
        license=config.license or _license(config.source, card),
        languages=LANGUAGES,
        data=f"The authors name their sources on the card of `{origin}` and in appendix A.1 of the paper.",
        datasets=tuple(name for name in card.get("datasets") or () if isinstance(name, str)),
        onnx=config.onnx,
        int8=config.int8,
        metrics=config.metrics,
        baselines=config.baselines,
        overwrite=config.overwrite,
    )
    check_output(release)
    max_length = config.max_length or _max_length(config.source, encoder.max_position_embeddings)
    if not 2 <= max_length <= encoder.max_position_embeddings:
        raise ValueError(
            f"max_length is {max_length}: give 2 to {encoder.max_position_embeddings}, the model's positions"
        )
    tokenizer = read_tokenizer(config.source, config.tokenizer_files, max_length)
    weights = read_weights(config.source, encoder)
    stored = {tensor.dtype for tensor in weights.values()}

    model = _with_weights(CodeSageModel, encoder, weights)
    # In the layout that `pretrain` writes, so that what follows is an export like any other.
    clean = config.output.absolute().with_name(f".{config.output.absolute().name}.converted")
    shutil.rmtree(clean, ignore_errors=True)
    try:
        with new_folder(clean) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        dtype = config.dtype or ("bfloat16" if {str(each) for each in stored} == {"torch.bfloat16"} else "float32")
        parameters = write_hub_folder(replace(release, model=clean, dtype=dtype), converted_from=origin)
    finally:
        shutil.rmtree(clean, ignore_errors=True)
    say(f"Convert: {origin}, {parameters:,} parameters as {dtype}, at most {max_length} tokens, {config.output}")
    return config.output


def _with_weights(cls: Any, config: Any, weights: "dict[str, torch.Tensor]") -> Any:
    """Build a model around weights that stay where they are, in their files."""
    import torch

    with torch.device("meta"):
        model = cls(config)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def _origin(source: Path) -> str:
    """Return the Hub id that a checkpoint gives itself."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    from ..common.untrusted import read_object

    name = read_object(source / "config.json").get("_name_or_path")
    try:
        if isinstance(name, str) and "/" in name:
            validate_repo_id(name)
            return name
    except HFValidationError:
        pass
    raise ValueError(
        f"{source / 'config.json'} does not say where the checkpoint comes from: give its Hub id as origin"
    )


def _license(source: Path, card: dict[str, Any]) -> str:
    if isinstance(license := card.get("license"), str):
        return license
    raise ValueError(f"{source / 'README.md'} names no license: give that of the checkpoint as license")


def _max_length(source: Path, positions: int) -> int:
    """Return the longest input that the checkpoint's sentence-transformers files tell, or that of the training."""
    from ..common.untrusted import read_object

    path = source / "sentence_bert_config.json"
    length = read_object(path).get("max_seq_length") if path.exists() else None
    return length if isinstance(length, int) and length > 0 else min(TRAINED_LENGTH, positions)
