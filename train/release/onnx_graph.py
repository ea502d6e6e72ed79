"""The encoder as ONNX graphs, for onnxruntime: a Hub folder that holds them needs neither torch nor our code to embed.

Contract: `add_graphs` writes `onnx/model.onnx` into a Hub folder, and an 8-bit one if asked to. Both take `input_ids`
and `attention_mask` (int64 [batch, length], any batch, any length up to the model's, padding on any side) and give
`last_hidden_state` (float32 [batch, length, H]). Those of our encoder also give `pooler_output` (float32 [batch, H]),
those of a native one take what else its tokenizer gives, such as the `token_type_ids` of BERT. `graph_problems`
compares every graph of a folder with its weights. How to embed with them and numpy alone stands on the model card.

The 8-bit graph of our encoder is `onnx/model_int8.onnx`; that of a native one is `onnx/model_quantized.onnx`, the name
under which transformers.js looks for its `q8`.

Invariants: `model.onnx` is the float32 computation in standard ONNX operators, the encoder's padded layout. In the
8-bit graph the weights of every projection and both embedding tables are 8-bit whole numbers; the projections
multiply whole numbers, their inputs scaled for each call by the largest value in the batch. No file tells about the
machine that it was written on.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..common.quiet import quiet_loading
from .layout import is_native

if TYPE_CHECKING:
    import onnx
    import torch
    from transformers import PreTrainedModel

INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("last_hidden_state", "pooler_output")
GRAPH = "onnx/model.onnx"
INT8_GRAPH = "onnx/model_int8.onnx"
GRAPH_FILES = {
    GRAPH: "the encoder for onnxruntime, float32",
    f"{GRAPH}.data": "its weights, where they do not fit into one file of that format",
    INT8_GRAPH: "the encoder for onnxruntime, 8-bit weights",
    f"{INT8_GRAPH}.data": "its weights, where they do not fit into one file of that format",
}
"""What a Hub folder may hold besides `layout.FILES`."""
QUANTIZED_GRAPH = "onnx/model_quantized.onnx"
NATIVE_GRAPH_FILES = {name.replace(INT8_GRAPH, QUANTIZED_GRAPH): what for name, what in GRAPH_FILES.items()}
"""What that of a native encoder may hold besides `layout.NATIVE_FILES`."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ONE_FILE = 2_000_000_000
"""Weights of more bytes than this stand in a file of their own: protobuf messages end at 2 GiB."""

TOLERANCE = 1e-4
"""How far an output of `model.onnx` may be from torch's, as a share of the largest value where that is above 1."""
INT8_COSINE = 0.9
"""How near an embedding of `model_int8.onnx` must be to torch's: below that, something was lost but precision."""

PROBES = (
    "return the larger of two numbers",
    "def larger(a, b):\n    return a if a > b else b\n",
    "",
    "for number in range(limit):\n    total += number\n" * 12,
)


def require_packages() -> None:
    """Refuse to begin an export for which packages are missing.

    Raises:
        ValueError: they are missing; the message says how to install them.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f'an ONNX export needs {", ".join(missing)}: run `pip install "open-codesage[onnx]"`')


def add_graphs(folder: Path, int8: bool) -> None:
    """Write the ONNX graphs of a Hub folder's encoder into it.

    Args:
        folder: holds the config and the weights.
        int8: also write the graph with 8-bit weights.
    """
    encoder = _open_encoder(folder)
    (folder / GRAPH).parent.mkdir(exist_ok=True)
    write_graph(encoder, folder / GRAPH, input_names(folder, encoder))
    if int8:
        quantise_graph(folder / GRAPH, folder / (QUANTIZED_GRAPH if is_native(folder) else INT8_GRAPH))


def input_names(folder: Path, encoder: "PreTrainedModel") -> tuple[str, ...]:
    """Name what the tokenizer of a Hub folder gives and its encoder takes."""
    from ..common.untrusted import read_object

    given = read_object(folder / "tokenizer_config.json").get("model_input_names", INPUTS)
    takes = signature(encoder.forward).parameters
    return (*INPUTS, *(name for name in given if name in takes and name not in INPUTS))


def _open_encoder(folder: Path) -> "PreTrainedModel":
    """Open the encoder; a native one without the pooling layer of its pretraining, which embeddings do not use."""
    import torch
    from open_codesage.modeling.modeling_codesage import CodeSageModel
    from transformers import AutoConfig, AutoModel
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if not is_native(folder):
        return CodeSageModel.from_pretrained(folder, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    has_layer = "add_pooling_layer" in signature(MODEL_MAPPING[type(config)].__init__).parameters
    options = {"add_pooling_layer": False} if has_layer else {}
    with quiet_loading():
        return AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **options
        )


def write_graph(encoder: "PreTrainedModel", file: Path, inputs: tuple[str, ...] = INPUTS) -> None:
    """Trace an encoder by transformers' own exporter and write the graph, its dimensions named batch and length."""
    import onnx_ir
    import torch
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    # Sizes of 0 and 1 would be taken for constants.
    length = min(8, encoder.config.max_position_embeddings)
    sample = {name: torch.full((2, length), name != "token_type_ids", dtype=torch.int64) for name in inputs}
    with _quietly():
        exported = OnnxExporter().export(encoder.eval(), sample, OnnxConfig(dynamic=True))
    # Older releases of transformers 5 return torch's own program.
    program = exported.program if hasattr(exported, "program") else exported.model
    graph = onnx_ir.to_proto(program)
    _tidy(graph)
    _save(graph, file)


def quantise_graph(source: Path, target: Path) -> None:
    """Quantise a graph's weights to 8 bits, one scale for each output of a projection and one for each table.

    Weights take 7 of the 8 bits: without VNNI, processors add two products in 16 bits, which 8-bit weights overflow.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(source)
    with _quietly():
        quantize_dynamic(
            graph,
            target,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
    quantised = onnx.load(target)
    _tidy(quantised)
    target.with_name(f"{target.name}.data").unlink(missing_ok=True)
    _save(quantised, target)


def open_graph(file: Path, threads: int = 0) -> Any:
    """Open a graph for the CPU: an `onnxruntime.InferenceSession`; 0 threads: as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed too
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def graph_problems(folder: Path) -> list[str]:
    """Compare the ONNX graphs of a Hub folder, on a few texts of several lengths and on either side padded, with torch.

    Where onnxruntime is not installed nothing is compared, and a line on standard output says so.

    Args:
        folder: a Hub folder whose other files have been checked.

    Returns:
        One sentence per problem.
    """
    from ..common.console import say

    files = [folder / name for name in (GRAPH, INT8_GRAPH, QUANTIZED_GRAPH) if (folder / name).is_file()]
    if not files:
        return []
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        say(f'{folder / "onnx"} was not compared with the weights: pip install "open-codesage[onnx]" to have it done')
        return []
    import torch

    encoder = _open_encoder(folder).eval()
    inputs, outputs = input_names(folder, encoder), OUTPUTS[:1] if is_native(folder) else OUTPUTS
    batches = _probe_batches(folder, inputs)
    with torch.inference_mode():
        expected = [[encoder(**batch)[name].numpy() for name in outputs] for batch in batches]
    masks = [batch["attention_mask"].numpy() for batch in batches]
    problems = []
    for file in files:
        if _branches(file):
            problems.append(f"{file} holds loops or branches, which no export has; export the model again")
            continue
        compare = _float32_fault if file == folder / GRAPH else _int8_fault
        try:
            session = open_graph(file)
            found = [session.run(outputs, {k: v.numpy() for k, v in batch.items()}) for batch in batches]
        except _runtime_errors() as error:
            problems.append(f"{file} cannot be run: {error}; export the model again")
            continue
        faults = (compare(*batch) for batch in zip(expected, found, masks, strict=True))
        if fault := next(filter(None, faults), None):
            problems.append(f"{file} is not this model: {fault}; export the model again")
    return problems


def _branches(file: Path) -> bool:
    """Whether a graph holds other graphs or functions, which might never end; one that cannot be read is no such."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(file, load_external_data=False)
    except DecodeError:
        return False
    kinds = {attribute.type for node in model.graph.node for attribute in node.attribute}
    return bool(model.functions) or bool(kinds & {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS})


_Arrays = list[npt.NDArray[np.float32]]


def _float32_fault(expected: _Arrays, found: _Arrays, mask: npt.NDArray[np.int64]) -> str | None:
    for name, theirs, ours in zip(OUTPUTS, expected, found, strict=False):
        if theirs.shape != ours.shape:
            return f"{name} has shape {ours.shape}, torch gives {theirs.shape}"
        difference = np.abs(theirs - ours).max() / max(1.0, np.abs(theirs).max())
        if not difference <= TOLERANCE:  # so that NaN is refused
            return f"{name} is {difference:.1e} away from torch's"
    return None


def _int8_fault(expected: _Arrays, found: _Arrays, mask: npt.NDArray[np.int64]) -> str | None:
    if expected[-1].shape != found[-1].shape:
        return f"{OUTPUTS[len(expected) - 1]} has shape {found[-1].shape}, torch gives {expected[-1].shape}"
    theirs, ours = (_pooled(outputs[-1], mask) for outputs in (expected, found))
    norms = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    cosine = ((theirs * ours).sum(1) / norms).min()
    return None if cosine >= INT8_COSINE else f"an embedding has a cosine of {cosine:.3f} with torch's"


def _pooled(output: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Average states over their tokens; what is pooled already stays."""
    return output if output.ndim == 2 else (output * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)


def _probe_batches(folder: Path, inputs: tuple[str, ...]) -> list[dict[str, "torch.Tensor"]]:
    """Probe texts as batches: padded on the right, padded on the left, and one text alone."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    batches = [
        tokenizer(texts, padding=True, padding_side=side, truncation=True, return_tensors="pt")
        for texts, side in ((list(PROBES), "right"), (list(PROBES), "left"), ([PROBES[0]], "right"))
    ]
    return [{name: batch[name] for name in inputs} for batch in batches]


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Find the exceptions of onnxruntime, which have no class in common, and those of its checks of arguments."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    found = vars(onnxruntime_pybind11_state).values()
    return ValueError, *(value for value in found if isinstance(value, type) and issubclass(value, Exception))


def _tidy(model: "onnx.ModelProto") -> None:
    """Name the dimensions, and drop what a runtime infers by itself and what tells where the code stood."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, ("batch", "length"), strict=False):
            if dimension.HasField("dim_param"):
                dimension.dim_param = name


def _save(model: "onnx.ModelProto", file: Path) -> None:
    import onnx

    data = file.with_name(f"{file.name}.data")
    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > ONE_FILE
    onnx.save(model, file, save_as_external_data=apart, location=data.name)
    if apart:  # onnx makes this file readable by its owner alone
        data.chmod(file.stat().st_mode)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the tracer's reports of progress and of versions from the terminal; errors are raised as ever."""
    handler, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(handler)  # without any, a first warning to the root logger installs one for good
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
