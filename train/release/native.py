"""The Hub folder of an encoder whose code is part of transformers: what it holds, how it is written, and its check.

Contract: `write` turns a model folder of `pretrain`, `contrast` or `finetune` that began with a BERT, RoBERTa,
ModernBERT, MPNet, DeBERTa or another encoder of transformers into a Hub folder that needs no remote code. `problems` is
the part of `check.check_folder` for such folders.

Invariants: pooling, prompts, normalization and longest input are those of the model folder. The modules are written
with the paths and the pooling keys that every version of sentence-transformers reads, and text-embeddings-inference
too, which asks for `max_seq_length` and four `pooling_mode_…` keys (as its source says, `router/src/lib.rs`; it was not
run here).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.model_weights import LOADING_ERRORS, PICKLES, weight_files
from ..common.output import RESULTS, write_json
from ..common.positions import longest_document
from ..common.quiet import quiet_loading
from ..common.untrusted import read_json, read_object
from .card import Description, model_card
from .card_check import card_problems
from .layout import NATIVE_FILES, NORMALIZE, PROBES, TOLERANCE
from .onnx_graph import NATIVE_GRAPH_FILES

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from .config import ExportConfig

MODULES = ("Transformer", "Pooling", "Normalize")
"""The modules that a native Hub folder may have, in their order; the last one may be missing."""

_POOLING = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_ALWAYS_WRITTEN = 4
"""Of the keys of `_POOLING`, those that text-embeddings-inference wants to see; the others older versions refuse."""


def write(config: "ExportConfig", folder: Path) -> int:
    """Write weights, tokenizer, modules and card.

    Returns:
        The number of parameters.

    Raises:
        ValueError: the model has a part that the folder has no place for, or the card would lack its origin.
    """
    from .saving import save_opened_as_float32

    if config.base_model is None or config.base_license is None:
        raise ValueError(
            f"{config.model} began with somebody's model: give base_model, its Hub id, and base_license, its license, "
            "for the card"
        )
    model = _open(config.model)
    encoder, tokenizer, length = model[0].auto_model, model.tokenizer, _length(model)
    model.max_seq_length = tokenizer.model_max_length = length
    # What the last batch of the training was cut and padded to.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    encoder.config.architectures = [type(encoder).__name__]

    def save() -> None:
        model.save(str(folder), create_model_card=False)

    parameters = save_opened_as_float32(encoder, tokenizer, folder, config.dtype, save)
    described = Description(
        architecture=type(encoder).__name__,
        pooling=_modes(model[1].pooling_mode),
        normalizes=len(model) == len(MODULES),
        prompts={name: prompt for name, prompt in model.prompts.items() if prompt},
        base_license=config.base_license,
    )
    _write_modules(folder, described, model[1], length)
    model_card(config, encoder.config, parameters, length, native=described).save(folder / "README.md")
    return parameters


def _open(source: Path) -> "SentenceTransformer":
    """Open a model folder in float32, after a look at what could be silently lost or made up."""
    from sentence_transformers.sentence_transformer.modules import Normalize

    from ..retrieval.encoder import open_sentence_model

    names = read_object(source / "config.json").get("architectures")
    if isinstance(names, list) and any(str(name).endswith("ForSequenceClassification") for name in names):
        raise ValueError(
            f"{source} is a classifier, {names[0]}: of those only our own can be exported; this folder needs no code, "
            "so push it as it is"
        )
    with quiet_loading():
        model = open_sentence_model(str(source))
    bare = not (source / "modules.json").is_file()
    if bare:
        model.append(Normalize())
    found = tuple(type(module).__name__ for module in model)
    if found not in (MODULES, MODULES[:2]):
        raise ValueError(f"{source} is {', '.join(found)}: only encoder, pooling and normalization can be exported")
    modes = _modes(model[1].pooling_mode)
    if modes != tuple(mode for mode in _POOLING if mode in modes):
        raise ValueError(f"{source} pools {', '.join(modes)} in an order that older libraries cannot be told")
    inner = "" if bare else str(read_json(source / "modules.json")[0].get("path", ""))
    _require_whole(source / inner)
    return model


def _require_whole(encoder: Path) -> None:
    """Refuse weights that `AutoModel` would make up, or leave out, but for what pretraining alone uses.

    Raises:
        ValueError: there are such weights; the message names some.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    with quiet_loading():
        _, info = AutoModel.from_pretrained(encoder, **options)
    missing = [name for name in info["missing_keys"] if not name.startswith("pooler.")]
    extra = set(info["unexpected_keys"])
    if extra:
        with torch.device("meta"):
            head = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(encoder, local_files_only=True))
        extra -= head.state_dict().keys()
    problems = [
        *(f"the weights lack {name}, which config.json asks for" for name in sorted(missing)[:8]),
        *(f"{name} is no part of the encoder that config.json describes" for name in sorted(extra)[:8]),
    ]
    if problems:
        raise ValueError(f"{encoder} cannot be exported:\n  " + "\n  ".join(problems))


def _length(model: "SentenceTransformer") -> int:
    """The longest input: as the model folder says, and no longer than there are positions."""
    given = (model.max_seq_length, model.tokenizer.model_max_length, longest_document(model[0].auto_model.config))
    return min(int(length) for length in given if length is not None and length < 1e9)


def _modes(mode: str | tuple[str, ...]) -> tuple[str, ...]:
    return (mode,) if isinstance(mode, str) else tuple(mode)


def _write_modules(folder: Path, described: Description, pooling: Any, length: int) -> None:
    """Write the modules so that every version reads them; version 6 would write paths and keys of its own."""
    paths = ("", "1_Pooling", "2_Normalize")[: len(MODULES) if described.normalizes else 2]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(zip(paths, MODULES, strict=False))
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    keys: dict[str, Any] = {"word_embedding_dimension": pooling.embedding_dimension}
    for number, (mode, key) in enumerate(_POOLING.items()):
        if number < _ALWAYS_WRITTEN or mode in described.pooling:
            keys[key] = mode in described.pooling
    if not pooling.include_prompt:
        keys["include_prompt"] = False
    write_json(folder / "1_Pooling" / "config.json", keys)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    settings = read_object(folder / "tokenizer_config.json")
    if settings.get("tokenizer_class") == "TokenizersBackend":  # a name that only transformers 5 knows
        write_json(folder / "tokenizer_config.json", settings | {"tokenizer_class": "PreTrainedTokenizerFast"})


def problems(folder: Path) -> list[str]:
    """Check a folder that has been found safe to open: its files, its card, and that all ways in give one embedding.

    Returns:
        One sentence per problem.
    """
    found = _file_problems(folder)
    if not found:
        found = [*_config_problems(folder), *card_problems(folder, ("license", "base_model"))]
    return found or _embedding_problems(folder)


def _file_problems(folder: Path) -> list[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    faults = [f"{folder / name} is missing: {NATIVE_FILES[name]}" for name in NATIVE_FILES if name not in found]
    for name in sorted(found - {*NATIVE_FILES, *NATIVE_GRAPH_FILES, NORMALIZE, RESULTS}):
        reason = "a pickle can run code when it is opened" if name.endswith(PICKLES) else "it is not part of a model"
        faults.append(f"{folder / name} does not belong in a Hub folder: {reason}; remove it")
    if faults:
        return faults
    modules = read_json(folder / "modules.json")
    kinds = tuple(str(module.get("type", "")).rpartition(".")[2] for module in modules)
    if kinds not in (MODULES, MODULES[:2]):
        faults.append(f"{folder / 'modules.json'} names {', '.join(kinds)}, not encoder, pooling and normalization")
    elif (NORMALIZE in found) > (len(kinds) == len(MODULES)):
        faults.append(f"{folder / NORMALIZE} is there, but modules.json names no normalization")
    return faults


def _config_problems(folder: Path) -> list[str]:
    config, faults = read_object(folder / "config.json"), []
    if "auto_map" in config:
        faults.append(f"{folder / 'config.json'} has an auto_map: a native model has no code of its own")
    if config.get("dtype") != "float32":
        faults.append(
            f"{folder / 'config.json'}: dtype is {config.get('dtype')!r}; "
            "write float32, whatever is stored, since a CPU is very slow in other formats"
        )
    if "auto_map" in read_object(folder / "tokenizer_config.json"):
        faults.append(f"{folder / 'tokenizer_config.json'} asks for a class of its own; save a plain fast tokenizer")
    if not weight_files(folder):
        faults.append(f"{folder} holds no model.safetensors")
    try:
        if not faults:
            _require_whole(folder)
    except LOADING_ERRORS as error:
        faults.append(str(error))
    return faults


def _embedding_problems(folder: Path) -> list[str]:
    """Compare the embeddings of sentence-transformers with those that the card's code makes from AutoModel's states."""
    import torch
    from sentence_transformers import SentenceTransformer
    from torch.nn.functional import normalize
    from transformers import AutoModel, AutoTokenizer

    try:
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        encoder = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except LOADING_ERRORS as error:
        return [f"{folder} cannot be opened: {error}"]
    longest = longest_document(encoder.config)
    if longest is not None and tokenizer.model_max_length > longest:
        return [
            f"{folder / 'tokenizer_config.json'}: model_max_length {tokenizer.model_max_length} "
            f"is beyond the {longest} tokens that the model has positions for"
        ]
    texts = [*PROBES[:2], "x " * tokenizer.model_max_length]
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    embeddings = model.encode(texts, prompt="", convert_to_tensor=True)
    if not torch.isfinite(embeddings).all():
        return [f"{folder}: the embeddings hold NaN or Inf"]
    with torch.inference_mode():
        states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    modes = _modes(model[1].pooling_mode)
    by_hand = {"mean": (states * mask).sum(1) / mask.sum(1), "cls": states[:, 0]}
    if len(modes) > 1 or modes[0] not in by_hand:
        return []
    pooled = by_hand[modes[0]]
    expected = normalize(pooled, dim=-1) if len(model) == len(MODULES) else pooled
    difference = ((embeddings - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
    if difference > 10 * TOLERANCE:
        return [
            f"{folder}: the embedding of SentenceTransformer is {difference:.1e} away from that of AutoModel's states"
        ]
    return []
