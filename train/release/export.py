"""Export: from a trained model folder to the folder that goes on the Hub.

Contract: the Hub folder of our encoder opens through `AutoModel`, `AutoModelForMaskedLM`,
`AutoModelForSequenceClassification`, `AutoTokenizer` and `SentenceTransformer` with `trust_remote_code=True` where
open-codesage is not installed, and gives the embeddings of the trained model. What it holds is listed in
`layout.FILES`, and nothing else is in it; with `onnx` also `onnx_graph.GRAPH_FILES`, which give them in onnxruntime,
and with one record of figures that record. Classifiers, encoders of transformers and static models have layouts of
their own, see `classifier`, `native` and `static`.

Invariants: the config says `dtype: float32` whatever is stored, so a CPU computes in float32. The folder is checked by
`check.check_folder` before it gets its name: at `output` stands a whole, valid folder or what was there before.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .config import ExportConfig
from .saving import save_released

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def main(config: ExportConfig) -> Path:
    """Write the Hub folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the model, a record for the card or the output folder cannot be used; the message says what to do.
    """
    from ..common.console import say
    from ..common.static_model import is_static

    parameters = write_hub_folder(config)
    size = (config.output / "model.safetensors").stat().st_size
    graphs = [f"{path.name} {path.stat().st_size / 1e6:,.1f} MB, " for path in sorted(config.output.glob("onnx/*"))]
    weights = f"{size / 1e6:,.1f} MB of weights, {''.join(graphs)}"
    dtype = "float16" if is_static(config.output) else config.dtype
    say(f"Export: {parameters:,} parameters as {dtype}, {weights}{config.output}")
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
    from ..common.output import new_folder
    from ..common.static_model import is_static
    from .layout import is_classifier, is_native

    output = config.output.absolute()
    _require_model_folder(config.model)
    replaced = check_output(config)
    from . import classifier  # what opens torch comes after what can be refused without it
    from .check import check_folder

    # An earlier export keeps its name until the new one is whole.
    fresh = output.with_name(f".{output.name}.new") if replaced else output
    if replaced:
        shutil.rmtree(fresh, ignore_errors=True)
    with new_folder(fresh) as folder:
        if is_classifier(config.model):
            parameters = classifier.write(config, folder)
        elif is_static(config.model):
            parameters = _write_static(config, folder)
        elif is_native(config.model):
            parameters = _write_native(config, folder)
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


def _require_model_folder(model: Path) -> None:
    """Refuse at once, before any library is opened, what is no folder of a whole model in safetensors."""
    from ..common.model_folder import require_safetensors
    from ..common.model_layout import ADAPTER
    from ..common.static_model import is_static

    if (model / ADAPTER).is_file():
        raise ValueError(f"{model} is an adapter: give the whole model that `finetune` writes with merge")
    if not (model / "config.json").is_file() and not is_static(model):
        raise ValueError(f"{model} is not a model folder (no config.json): give the output of `pretrain` or `contrast`")
    require_safetensors(model)


def _write_encoder(config: ExportConfig, folder: Path, converted_from: str | None) -> int:
    """Write the folder of an encoder; returns the number of parameters."""
    from .card import model_card

    sentence_model = _open(config.model)
    parameters = _write_model(sentence_model, folder, config.dtype)
    encoder, max_length = sentence_model[0].auto_model.config, sentence_model.max_seq_length
    as_text = sentence_model.tokenizer.split_special_tokens
    card = model_card(config, encoder, parameters, max_length, converted_from, as_text)
    card.save(folder / "README.md")
    del sentence_model  # What follows opens what was written: one model in memory is enough.
    _add_parts(config, folder)
    return parameters


def _write_native(config: ExportConfig, folder: Path) -> int:
    """Write the folder of an encoder of transformers; returns the number of parameters."""
    from . import native

    parameters = native.write(config, folder)
    _add_parts(config, folder)
    return parameters


def _write_static(config: ExportConfig, folder: Path) -> int:
    """Write the folder of a static model; returns the number of parameters."""
    from . import static

    parameters = static.write(config, folder)
    _add_parts(config, folder)
    return parameters


def _add_parts(config: ExportConfig, folder: Path) -> None:
    """Add what was asked for besides the model: its figures, its graphs."""
    from ..common.output import RESULTS
    from .onnx_graph import add_graphs

    if len(config.metrics) == 1:
        shutil.copyfile(config.metrics[0], folder / RESULTS)
    if config.onnx:
        add_graphs(folder, config.int8)


def check_output(config: ExportConfig) -> bool:
    """Check, before anything is read, that the folder can be written; say whether an earlier export is in the way.

    Raises:
        ValueError: something is in the way that must not be touched, or packages for what is asked are missing.
    """
    from .onnx_graph import require_packages

    if config.onnx:
        require_packages()
    _recover(config.output.absolute())
    return _replaces(config)


def _recover(output: Path) -> None:
    """Give an earlier export its name again, which a run that was killed had just taken from it."""
    old = output.with_name(f".{output.name}.old")
    if old.is_dir() and not output.exists():
        old.rename(output)


def _replaces(config: ExportConfig) -> bool:
    """Say whether an earlier export is in the way, and refuse to touch anything else."""
    from ..common.output import RESULTS
    from .layout import FILES, NATIVE_FILES, STATIC_FILES
    from .onnx_graph import GRAPH_FILES, NATIVE_GRAPH_FILES

    ours = {*FILES, *NATIVE_FILES, *STATIC_FILES, *GRAPH_FILES, *NATIVE_GRAPH_FILES, RESULTS}
    output = config.output
    if output.resolve() == config.model.resolve():
        raise ValueError(f"{output} is the model folder itself: choose another output")
    if not output.is_dir() or not any(output.iterdir()):
        return False
    if not config.overwrite:
        raise ValueError(f"{output} is already there: set overwrite to replace it, or choose another output")
    for path in output.rglob("*"):
        if not path.is_dir() and path.relative_to(output).as_posix() not in ours:
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

    from .check import weight_problems
    from .layout import MODULES

    if problems := weight_problems(model):
        raise ValueError("these weights cannot be exported:\n  " + "\n  ".join(problems))
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
