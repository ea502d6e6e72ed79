"""The check of a Hub folder against what it has to hold (see `layout`).

Contract: `check_folder` returns every problem it finds, in words that name the file and the remedy; no problem, an
empty list. `weight_problems` is the part of it that also fits a model folder under training.

Invariant: nothing of the folder is executed. What `model_folder.faults` finds is found before any library opens it,
its Python files are only parsed, its weights are opened by our own classes, and its ONNX graphs are run by onnxruntime
without any library of operators, so the check is safe on a folder that somebody else has written.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from open_codesage.modeling.auto_classes import AUTO_MAP, STATIC_AUTO_MAP

from ..common.model_folder import faults
from ..common.model_weights import LOADING_ERRORS, PICKLES, PREFIX, TIED_HEAD, stored_shapes, weight_files
from ..common.output import RESULTS
from ..common.static_model import STATIC_MODULES, is_static
from ..common.tree import files
from ..common.untrusted import read_json, read_object
from ..evaluation.results import require_record
from . import classifier, static
from .card_check import card_problems
from .layout import FILES, MODULES, NOT_IN_IT, PROBES, STATIC_FILES, TOLERANCE, is_classifier, is_native
from .native import problems as native_problems
from .onnx_graph import GRAPH_FILES, graph_problems


def check_folder(folder: Path) -> list[str]:
    """Check that a Hub folder is complete, self-contained, finite and gives one embedding by every way in.

    The deeper checks run only when those before them have found nothing: what makes a folder unsafe to open and missing
    files first, then code, card and weights, at last the opened model.

    Args:
        folder: the folder as it would be pushed.

    Returns:
        One sentence per problem.
    """
    if not folder.is_dir():
        return [f"{folder} is not a folder"]
    problems = faults(folder)
    if not problems and is_native(folder):
        return native_problems(folder) or graph_problems(folder)
    if not problems and is_static(folder):
        problems = _file_problems(folder) or [*_code_problems(folder), *card_problems(folder)]
        return problems or static.problems(folder)
    problems = problems or _file_problems(folder)
    if not problems:
        problems = [*_code_problems(folder), *card_problems(folder), *weight_problems(folder)]
    if not problems:
        problems = _tokenizer_problems(folder)
    if not problems and is_classifier(folder):
        problems = classifier.problems(folder)
    elif not problems:
        problems = _embedding_problems(folder) or graph_problems(folder)
    return problems


def weight_problems(folder: Path) -> list[str]:
    """Look for weights that a Hub folder has no place for: anything but the encoder and its tied prediction head.

    Names may carry the prefix `transformer.` of a model with a head. That shapes and values are right is not asked
    here, but by `model_folder.faults`.

    Args:
        folder: a sound model folder.
    """
    import torch
    from open_codesage.modeling import CodeSageConfig, CodeSageModel

    heads = ("classifier.weight", "classifier.bias") if is_classifier(folder) else (TIED_HEAD,)
    if not (files := weight_files(folder)):
        return [f"{folder} holds no model.safetensors"]
    try:
        config = CodeSageConfig.from_pretrained(folder)
        with torch.device("meta"):
            expected = {*CodeSageModel(config).state_dict()}
    except LOADING_ERRORS as error:
        return [f"{folder / 'config.json'} does not describe a CodeSage model: {error}"]
    if config.tie_word_embeddings:
        expected.update(heads)
    return [
        f"{file}: {stored} is no part of the encoder that config.json describes; "
        "only an encoder, alone, with a tied masked-LM head or as a classifier, makes a Hub folder"
        for file in files
        for stored in stored_shapes(file)
        if stored.removeprefix(PREFIX) not in expected
    ]


def _file_problems(folder: Path) -> list[str]:
    paths = list(files(folder))
    if irregular := [path for path in paths if path.is_symlink() or not path.is_file()]:
        return [f"{path} is a link or no regular file: put a copy of the file in its place" for path in irregular]
    found = {path.relative_to(folder).as_posix() for path in paths}
    single, table = is_classifier(folder), is_static(folder)
    wanted = STATIC_FILES if table else {name: FILES[name] for name in FILES if not single or name not in NOT_IN_IT}
    problems = [f"{folder / name} is missing: {what}" for name, what in wanted.items() if name not in found]
    # The figures of its card may lie in it too, to be measured again.
    for name in sorted(found - wanted.keys() - {RESULTS} - (set() if single or table else GRAPH_FILES.keys())):
        reason = "a pickle can run code when it is opened" if name.endswith(PICKLES) else "it is not part of a model"
        problems.append(f"{folder / name} does not belong in a Hub folder: {reason}; remove it")
    if not problems and RESULTS in found:
        problems = _results_problems(folder / RESULTS)
    if not problems and not single:
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in read_json(folder / "modules.json")]
        if kinds != (modules := STATIC_MODULES if table else MODULES):
            problems.append(
                f"{folder / 'modules.json'} names {', '.join(kinds)}, a Hub folder has {', '.join(modules)}"
            )
    return problems


def _results_problems(path: Path) -> list[str]:
    """Check that a record of figures is one, and nothing else besides: it is published as it is."""
    try:
        require_record(path)
    except ValueError as error:
        return [f"{error}; measure again with `open-codesage evaluate`, or remove it"]
    return []


def _code_problems(folder: Path) -> list[str]:
    config = read_object(folder / "config.json")
    problems = []
    if config.get("dtype") != "float32":
        problems.append(
            f"{folder / 'config.json'}: dtype is {config.get('dtype')!r}; "
            "write float32, whatever is stored, since a CPU is very slow in other formats"
        )
    if config.get("tie_word_embeddings") is False:
        problems.append(f"{folder / 'config.json'}: tie_word_embeddings is false, but no weights of a head are stored")
    trees = {}
    own, named = (STATIC_FILES, STATIC_AUTO_MAP) if is_static(folder) else (FILES, AUTO_MAP)
    for name in (name for name in own if name.endswith(".py")):
        try:
            trees[name] = ast.parse((folder / name).read_text(encoding="utf-8"), filename=name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{folder / name} is not Python: {error}")
    auto_map = config.get("auto_map", {})
    for auto_class, reference in named.items():
        module, _, name = reference.partition(".")
        if auto_map.get(auto_class) != reference:
            problems.append(f"{folder / 'config.json'}: auto_map must say {auto_class}: {reference}")
        elif f"{module}.py" in trees and name not in _classes(trees[f"{module}.py"]):
            problems.append(f"{folder / module}.py does not define {name}, which auto_map names")
    for name, tree in trees.items():
        for imported in _foreign_imports(tree, folder):
            problems.append(
                f"{folder / name} imports {imported}: remote code may use only torch, transformers, siblings"
            )
    return problems


def _classes(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def _foreign_imports(tree: ast.Module, folder: Path) -> Iterator[str]:
    """Yield imports that a machine without open-codesage cannot satisfy."""
    at_hand = {*sys.stdlib_module_names, "torch", "transformers"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] not in at_hand)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module and node.module.partition(".")[0] not in at_hand:
                yield node.module
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level > 1 or not (folder / f"{module}.py").is_file():
                yield f"{'.' * node.level}{module}"


def _tokenizer_problems(folder: Path) -> list[str]:
    from transformers import PreTrainedTokenizerFast

    where = folder / "tokenizer.json"
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except LOADING_ERRORS as error:
        return [f"{where} cannot be opened: {error}"]
    model = read_object(folder / "config.json")
    problems = []
    if "auto_map" in read_object(folder / "tokenizer_config.json"):
        problems.append(f"{folder / 'tokenizer_config.json'} asks for a class of its own; save a plain fast tokenizer")
    if (largest := max(tokenizer.get_vocab().values(), default=0)) >= model["vocab_size"]:
        problems.append(f"{where} gives ids up to {largest}, the model's vocabulary has only {model['vocab_size']}")
    for special in ("eos", "pad"):
        if getattr(tokenizer, f"{special}_token_id") != model.get(f"{special}_token_id"):
            problems.append(f"{where} and config.json disagree on the {special} token")
    if tokenizer.model_max_length > model["max_position_embeddings"]:
        problems.append(
            f"{folder / 'tokenizer_config.json'}: model_max_length {tokenizer.model_max_length} "
            f"is beyond the model's {model['max_position_embeddings']} positions"
        )
        return problems
    for text in ("x", "x " * tokenizer.model_max_length):
        if tokenizer(text, truncation=True)["input_ids"][-1] != tokenizer.eos_token_id:
            problems.append(f"{where} does not end an input of {len(text)} characters with EOS")
    return problems


def _embedding_problems(folder: Path) -> list[str]:
    import open_codesage.modeling  # noqa: F401 (registers our classes, so that none is taken from the folder)
    import torch
    from sentence_transformers import SentenceTransformer
    from torch.nn.functional import normalize

    try:
        sentence_model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except LOADING_ERRORS as error:
        return [f"{folder} cannot be opened as a SentenceTransformer: {error}"]
    encoder, tokenizer = sentence_model[0].auto_model, sentence_model.tokenizer
    embeddings = sentence_model.encode(list(PROBES), convert_to_tensor=True)
    batch = tokenizer(list(PROBES), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        pooled = normalize(encoder(**batch).pooler_output, dim=-1)
    if not torch.isfinite(embeddings).all():
        return [f"{folder}: the embeddings hold NaN or Inf"]
    difference = (embeddings - pooled).abs().max().item()
    if difference > TOLERANCE:
        return [
            f"{folder}: the embedding of SentenceTransformer is {difference:.1e} away from the normalised "
            "pooler_output of AutoModel; modules.json must be encoder, mean pooling, normalisation"
        ]
    return []
