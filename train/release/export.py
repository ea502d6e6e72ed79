"""Export: from a trained model folder to the folder that goes on the Hub.

Contract: the Hub folder opens through `AutoModel`, `AutoModelForMaskedLM`, `AutoModelForSequenceClassification`,
`AutoTokenizer` and `SentenceTransformer` with `trust_remote_code=True` where open-codesage is not installed, and gives
the embeddings of the trained model. What it holds is listed in `folder.FILES`, and nothing else is in it; with `onnx`
also `onnx_graph.GRAPH_FILES`, which give them in onnxruntime, and with one record of figures that record.

Invariants: the config says `dtype: float32` whatever is stored, so a CPU computes in float32. The folder is checked by
`folder.check_folder` before it gets its name: at `output` stands a whole, valid folder or what was there before.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class ExportConfig:
    """Write a trained encoder as a Hub folder, with its code, tokenizer, sentence-transformers files and model card.

    Attributes:
        model: model folder of `pretrain` (Stage I), of `contrast` (Stage II), or of `finetune`.
        output: the Hub folder to write.
        name: what the model card calls the model, NAME or USER/NAME on the Hub; the folder's name if not given.
        dtype: number format of the stored weights; bfloat16 halves the file. Either is opened as float32.
        onnx: also write onnx/model.onnx, for onnxruntime; needs `pip install "open-codesage[onnx]"`.
        int8: with onnx, also write onnx/model_int8.onnx, about a quarter of its size and less exact.
        licence: licence of the model, as the Hub spells it.
        languages: programming languages the model knows; those of the corpus if not given.
        corpus: corpus folder that the model was trained on, for the card's table of files, pairs and licences.
        data: a paragraph on the training data, for the card.
        datasets: Hub ids of the datasets trained on, for the card.
        base_model: Hub id of the model that this one was fine-tuned from, for the card.
        stage_one: model folder of Stage I, for its hyper-parameters on the card; not needed if `model` is that folder.
        metrics: results.json files of evaluate, for the card. In a file of several models this one is told by its hash,
            and the others are baselines.
            A single file goes into the folder, too, for `evaluate --expected`.
        baselines: results.json files of other models, for the card.
        notes: Markdown file for the card, before its limits: what no record tells, such as how training scales.
        overwrite: replace an earlier export at `output`.
    """

    model: Path
    output: Path
    name: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    onnx: bool = False
    int8: bool = False
    licence: str = "apache-2.0"
    languages: tuple[str, ...] = ()
    corpus: Path | None = None
    data: str | None = None
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    stage_one: Path | None = None
    metrics: tuple[Path, ...] = ()
    baselines: tuple[Path, ...] = ()
    notes: Path | None = None
    overwrite: bool = False

    @property
    def model_id(self) -> str:
        """What the card's code gives to `from_pretrained`."""
        return self.name or self.output.absolute().name


def main(config: ExportConfig) -> Path:
    """Write the Hub folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the model, a record for the card or the output folder can not be used; the message says what to do.
    """
    from ..console import say

    parameters = write_hub_folder(config)
    size = (config.output / "model.safetensors").stat().st_size
    graphs = [f"{path.name} {path.stat().st_size / 1e6:,.1f} MB, " for path in sorted(config.output.glob("onnx/*"))]
    weights = f"{size / 1e6:,.1f} MB of weights, {''.join(graphs)}"
    say(f"Export: {parameters:,} parameters as {config.dtype}, {weights}{config.output}")
    return config.output


def write_hub_folder(config: ExportConfig, converted_from: str | None = None) -> int:
    """Write, check and name the Hub folder.

    Args:
        config: what is written, and what its card tells.
        converted_from: name of the published checkpoint that the model is, in another form; None: it was trained here.

    Returns:
        The number of the encoder's parameters.

    Raises:
        ValueError: as `main`.
    """
    from ..data.folders import new_folder
    from . import classifier
    from .folder import check_folder

    output = config.output.absolute()
    replaced = check_output(config)
    # An earlier export keeps its name until the new one is whole.
    fresh = output.with_name(f".{output.name}.new") if replaced else output
    if replaced:
        shutil.rmtree(fresh, ignore_errors=True)
    with new_folder(fresh) as folder:
        if classifier.is_classifier(config.model):
            parameters = classifier.write(config, folder)
        else:
            parameters = _write_encoder(config, folder, converted_from)
        if problems := check_folder(folder):
            raise ValueError("the exported folder is not valid:\n  " + "\n  ".join(problems))
    if replaced:
        old = output.with_name(f".{output.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        output.rename(old)
        fresh.rename(output)
        shutil.rmtree(old)
    return parameters


def _write_encoder(config: ExportConfig, folder: Path, converted_from: str | None) -> int:
    """Write the folder of an encoder; returns the number of parameters."""
    from ..evaluation.results import RESULTS
    from .card import model_card
    from .onnx_graph import add_graphs

    sentence_model = _open(config.model)
    parameters = _write_model(sentence_model, folder, config.dtype)
    encoder, max_length = sentence_model[0].auto_model.config, sentence_model.max_seq_length
    as_text = sentence_model.tokenizer.split_special_tokens
    card = model_card(config, encoder, parameters, max_length, converted_from, as_text)
    card.save(folder / "README.md")
    if len(config.metrics) == 1:
        shutil.copyfile(config.metrics[0], folder / RESULTS)
    del sentence_model  # What follows opens what was written: one model in memory is enough.
    if config.onnx:
        add_graphs(folder, config.int8)
    return parameters


def check_output(config: ExportConfig) -> bool:
    """Check, before anything is read, that the folder can be written; say whether an earlier export is in the way.

    Raises:
        ValueError: the name is none for the Hub, something is in the way that must not be touched, or packages for
            what is asked are missing.
    """
    from .onnx_graph import require_packages

    _check_name(config)
    if config.int8 and not config.onnx:
        raise ValueError("int8 is the small form of the ONNX file: set onnx too")
    if config.onnx:
        require_packages()
    _recover(config.output.absolute())
    return _replaces(config)


def _check_name(config: ExportConfig) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(config.model_id)
    except HFValidationError as error:
        raise ValueError(
            f"{config.model_id!r} can not be the name of a model ({error}): give another one as name"
        ) from error


def _recover(output: Path) -> None:
    """Give an earlier export its name again, which a run that was killed had just taken from it."""
    old = output.with_name(f".{output.name}.old")
    if old.is_dir() and not output.exists():
        old.rename(output)


def _replaces(config: ExportConfig) -> bool:
    """Say whether an earlier export is in the way, and refuse to touch anything else."""
    from ..evaluation.results import RESULTS
    from .folder import FILES
    from .onnx_graph import GRAPH_FILES

    output = config.output
    if output.resolve() == config.model.resolve():
        raise ValueError(f"{output} is the model folder itself: choose another output")
    if not output.is_dir() or not any(output.iterdir()):
        return False
    if not config.overwrite:
        raise ValueError(f"{output} is already there: set overwrite to replace it, or choose another output")
    for path in output.rglob("*"):
        if not path.is_dir() and path.relative_to(output).as_posix() not in {*FILES, *GRAPH_FILES, RESULTS}:
            raise ValueError(
                f"{path} was not written by an export, so {output} is left as it is: choose another output"
            )
    return True


def _open(model: Path) -> "SentenceTransformer":
    """Open a model folder of either stage, in float32, after a look at everything that could be silently lost."""
    import open_codesage.modeling  # noqa: F401 (registers our classes with the Auto classes)
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    from ..model_folders import ADAPTER
    from ..stages.checkpoints import require_safetensors
    from .folder import MODULES, weight_problems

    if (model / ADAPTER).is_file():
        raise ValueError(f"{model} is an adapter: give the whole model that `finetune` writes with merge")
    if not (model / "config.json").is_file():
        raise ValueError(f"{model} is not a model folder (no config.json): give the output of `pretrain` or `contrast`")
    require_safetensors(model)
    if problems := weight_problems(model):
        raise ValueError("these weights can not be exported:\n  " + "\n  ".join(problems))
    arguments = {"dtype": torch.float32, "use_safetensors": True}
    if not (model / "modules.json").is_file():
        encoder = Transformer(str(model), model_kwargs=arguments)
        pooling = Pooling(encoder.get_embedding_dimension(), "mean")
        return SentenceTransformer(modules=[encoder, pooling, Normalize()], device="cpu", similarity_fn_name="cosine")
    opened = SentenceTransformer(
        str(model), device="cpu", similarity_fn_name="cosine", local_files_only=True, model_kwargs=arguments
    )
    found = [type(module).__name__ for module in opened]
    if found != MODULES or opened[1].pooling_mode != "mean" or any(opened.prompts.values()):
        raise ValueError(
            f"{model} is {', '.join(found)} with prompts {opened.prompts}: "
            "only encoder, mean pooling and normalisation without prompts can be exported"
        )
    return opened


def _write_model(sentence_model: "SentenceTransformer", folder: Path, dtype: str) -> int:
    """Write everything but the card; returns the number of parameters."""
    encoder, tokenizer = sentence_model[0].auto_model, sentence_model.tokenizer
    save = partial(sentence_model.save, str(folder), create_model_card=False)
    return save_released(encoder, tokenizer, folder, dtype, save)


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
    import torch

    from .folder import name_classes

    parameters = model.num_parameters()
    name_classes(model.config)
    # No computation reads these ids, so a model can be trained with those of another tokenizer.
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
    for key in ("is_local", "local_files_only"):  # How it was opened here says nothing about the tokenizer.
        tokenizer.init_kwargs.pop(key, None)
    model.to(getattr(torch, dtype))
    save()
    # Saving has noted the stored format, in which AutoModel would compute.
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    # safetensors makes its files readable by their owner alone.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
    return parameters
