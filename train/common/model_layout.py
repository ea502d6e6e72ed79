"""What a model folder may bring, as lists: modules, their settings, the keys of a config and of an adapter.

Contract: `parts(folder)` names the folders that libraries will read, each with the module that will read it;
`setting_faults` and `config_faults` compare what is set there with the lists below. Faults are sentences that name the
file and the remedy.

Invariants: what is not on a list refuses the folder, if a library would read it. What no library reads when a folder
is opened as an encoder (weights of other frameworks, `onnx/`, `openvino/`, pickles beside safetensors, code, pictures)
is not looked at, and does not hurt. The lists follow sentence-transformers 6 and transformers 5: each key that makes
them import, open or call something named by the folder is missing here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .untrusted import brief, containers, read_json, read_object

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
MODULES = "modules.json"
SENTENCE_CONFIG = "sentence_bert_config.json"
MODEL_CONFIG = "config_sentence_transformers.json"
ROUTER_CONFIG = "router_config.json"

LEGACY_CONFIGS = tuple(
    f"sentence_{name}_config.json" for name in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names under which sentence-transformers looks for settings where `sentence_bert_config.json` has none."""
PROCESSORS = (
    *("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"),
    "audio_tokenizer_config.json",
)
"""Files that make of a tokenizer a processor of pictures or sounds."""

MOST_MODULES = 64
LARGEST = 1 << 20
"""Of a width or a length in tokens."""
FEW = 128

Check = Callable[[Any], bool]


def _of(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _one_of(*values: Any) -> Check:
    return lambda value: value in values and type(value) in map(type, values)


def _either(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _nothing(value: Any) -> bool:
    return value is None or value is False or value in ({}, [], "")


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LARGEST


def _modalities(value: Any) -> bool:
    """Text only, by the methods that encoders have for it: the method named here is called."""
    return isinstance(value, dict) and all(
        key == "text"
        and isinstance(entry, dict)
        and entry.keys() <= {"method", "method_output_name"}
        and entry.get("method") in ("forward", "get_text_features")
        and entry.get("method_output_name") in (None, "last_hidden_state", "pooler_output", "text_embeds")
        for key, entry in value.items()
    )


def _pooling_modes(value: Any) -> bool:
    modes = [value] if isinstance(value, str) else value
    return isinstance(modes, list) and 0 < len(modes) <= len(_POOLING) and all(mode in _POOLING for mode in modes)


def _names(value: Any) -> bool:
    """Module names, as a list or one expression without a quantifier: those of PEFT are matched as expressions."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"[\w.|()\\-]{0,1000}", value))
    return isinstance(value, list) and len(value) <= 10_000 and all(isinstance(n, str) and _names(n) for n in value)


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and _names([*value]) and all(map(_either(_number, _of(float)), value.values()))


def _activation(value: Any) -> bool:
    """A class of activations, named as sentence-transformers saves it: what stands here is imported and called."""
    return isinstance(value, str) and bool(_ACTIVATION.fullmatch(value))


_POOLING = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_ACTIVATION = re.compile(
    r"torch\.nn\.modules\.(?:linear\.Identity|activation\.(?:Tanh|Sigmoid|ReLU6?|GELU|SiLU|Mish|ELU|SELU|CELU|LeakyReLU"
    r"|Softplus|Softsign|Hardtanh|Hardswish|Hardsigmoid|LogSigmoid|Tanhshrink))"
)
_FEATURE = _one_of("sentence_embedding", "token_embeddings")


class Module(NamedTuple):
    """What a module of sentence-transformers may set.

    Attributes:
        config: the file with its settings.
        settings: a check for each.
        weights: whether it has weights of its own.
        optional: whether its folder may be missing.
    """

    config: str
    settings: Mapping[str, Check]
    weights: bool = False
    optional: bool = False


TRANSFORMER, ROUTER, STATIC = "Transformer", "Router", "StaticEmbedding"

MODULE_TYPES: dict[str, Module] = {
    TRANSFORMER: Module(
        SENTENCE_CONFIG,
        {
            "transformer_task": _one_of("feature-extraction"),
            "modality_config": _modalities,
            "module_output_name": _FEATURE,
            "unpad_inputs": _either(_nothing, _of(bool)),
            "max_seq_length": _either(_nothing, _number),
            "query_length": _either(_nothing, _number),
            "document_length": _either(_nothing, _number),
            "do_lower_case": _of(bool),
            "query_expansion": _nothing,
            "processing_kwargs": _nothing,
            "tokenizer_name_or_path": _nothing,
            **dict.fromkeys(("model_args", "tokenizer_args", "config_args"), _nothing),
            **dict.fromkeys(("model_kwargs", "processor_kwargs", "config_kwargs"), _nothing),
        },
        weights=True,
    ),
    "Pooling": Module(
        CONFIG,
        {
            "embedding_dimension": _number,
            "word_embedding_dimension": _number,
            "pooling_mode": _pooling_modes,
            "include_prompt": _of(bool),
            **{f"pooling_mode_{mode}": _of(bool) for mode in ("cls_token", "lasttoken")},
            **{f"pooling_mode_{mode}_tokens": _of(bool) for mode in ("max", "mean", "mean_sqrt_len", "weightedmean")},
        },
    ),
    "Normalize": Module(CONFIG, {"module_input_name": _FEATURE, "module_output_name": _FEATURE}, optional=True),
    "Dense": Module(
        CONFIG,
        {
            "in_features": _number,
            "out_features": _number,
            "bias": _of(bool),
            "activation_function": _activation,
            "module_input_name": _FEATURE,
            "module_output_name": _either(_nothing, _FEATURE),
            "use_residual": _of(bool),
        },
        weights=True,
    ),
    "LayerNorm": Module(CONFIG, {"dimension": _number}, weights=True),
    "Dropout": Module(CONFIG, {"dropout": lambda value: _of(int, float)(value) and 0 <= value <= 1}),
    # Its config.json is not read: that of model2vec says what made it.
    STATIC: Module("", {}, weights=True),
    ROUTER: Module(
        ROUTER_CONFIG,
        {"types": _of(dict), "structure": _of(dict), "parameters": _either(_of(dict))},
    ),
}

_TYPE = re.compile(r"sentence_transformers\.(?:models|base\.modules|sentence_transformer\.modules)\.(?:(\w+)\.)?(\w+)")

_MODEL_SETTINGS: dict[str, Check] = {
    "__version__": _either(_nothing, lambda value: isinstance(value, dict) and all(map(_text, value.values()))),
    "prompts": _either(
        _nothing,
        lambda value: isinstance(value, dict) and all(_text(prompt) or prompt is None for prompt in value.values()),
    ),
    "default_prompt_name": _either(_nothing, _text),
    "similarity_fn_name": _either(_nothing, _one_of("cosine", "dot", "euclidean", "manhattan")),
    "model_type": _one_of("SentenceTransformer"),
    "truncate_dim": _either(_nothing, _number),
    "requirements": _either(_nothing, lambda value: isinstance(value, dict) and all(map(_text, value.values()))),
}

_ADAPTER_SETTINGS: dict[str, Check] = {
    "peft_type": _one_of("LORA"),
    "peft_version": _either(_nothing, _text),
    "task_type": _either(_nothing, _text),
    "base_model_name_or_path": _text,
    "revision": _either(_nothing, _text),
    "inference_mode": _of(bool),
    "r": _number,
    "lora_alpha": _of(int, float),
    "lora_dropout": _of(int, float),
    "bias": _one_of("none", "all", "lora_only"),
    "lora_bias": _of(bool),
    "fan_in_fan_out": _of(bool),
    "use_rslora": _of(bool),
    "use_dora": _of(bool),
    "ensure_weight_tying": _of(bool),
    "init_lora_weights": _either(_of(bool), _one_of("gaussian", "orthogonal")),
    "target_modules": _either(_nothing, _names),
    "exclude_modules": _either(_nothing, _names),
    "modules_to_save": _either(_nothing, _names),
    "layers_pattern": _either(_nothing, _names),
    "layers_to_transform": _either(
        _nothing, _of(int), lambda value: isinstance(value, list) and all(map(_of(int), value))
    ),
    "rank_pattern": _either(_nothing, _by_name),
    "alpha_pattern": _either(_nothing, _by_name),
    "qalora_group_size": _of(int),
    "megatron_core": _one_of("megatron.core"),
    "auto_mapping": _either(
        _nothing,
        lambda value: (
            isinstance(value, dict)
            and value.keys() <= {"base_model_class", "parent_library"}
            and str(value.get("parent_library")).partition(".")[0] in ("transformers", "open_codesage")
        ),
    ),
}
"""Of PEFT's LoRA; other settings of it must be empty, since they open files, import modules or make layers."""

# Set in a config, these open a file, a kernel of the Hub, or the weights in another way.
_REFUSED_KEYS = {
    "transformers_weights": "names the file of the weights",
    "configuration_files": "names another file to be read in its place",
    **dict.fromkeys(("backbone", "use_timm_backbone", "use_pretrained_backbone"), "fetches another model"),
    "quantization_config": "asks for quantised weights: take the original",
}
_IMPLEMENTATIONS = ("eager", "sdpa", "flash_attention_2", "flex_attention")

# Names of numbers that a model class counts up to while it is built.
_COUNTED = re.compile(r"(layers?|experts?|blocks?|stages?|depths?|repeats?|hops?)$")


class Part(NamedTuple):
    """A folder that a library will read, and the module that will."""

    folder: Path
    module: str


def parts(folder: Path) -> list[Part]:
    """List what a library will read of a model folder.

    Raises:
        ValueError: a module that is not on the list, or a folder that lies elsewhere.
    """
    path = folder / MODULES
    if not path.exists():
        return [Part(folder, TRANSFORMER)]
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path} has to hold a list of modules")
    if not 0 < len(entries) <= MOST_MODULES:
        raise ValueError(f"{path} names {len(entries):,} modules, a model has 1 to {MOST_MODULES}")
    found = [part for entry in entries for part in _entry_parts(path, entry)]
    # The Auto classes of transformers read the folder itself, whatever the modules are.
    if folder not in (part.folder for part in found):
        found.insert(0, Part(folder, TRANSFORMER))
    return found


def _entry_parts(path: Path, entry: Mapping[str, Any]) -> Iterator[Part]:
    inner = entry.get("path")
    if not isinstance(inner, str) or inner.startswith(("/", "~")) or re.search(r"\.\.|\\|:|\0", inner):
        raise ValueError(f"{path} names {brief(inner)}, which is not a folder inside; such a path is never followed")
    if not isinstance(entry.get("name"), str) or not _names(entry.get("kwargs", [])):
        raise ValueError(f"{path}: a module has a name, and kwargs that are a list of names, if any")
    yield from _module_parts(path, entry.get("type"), path.parent / inner)


def _module_parts(path: Path, called: Any, folder: Path, inside_router: bool = False) -> Iterator[Part]:
    name = module_type(called)
    if name is None or (inside_router and name == ROUTER):
        known = ", ".join(name for name in MODULE_TYPES if not inside_router or name != ROUTER)
        raise ValueError(
            f"{path} names the module type {brief(called)}, which is not opened: only {known} of sentence-transformers "
            "are, which run no code of a folder and read no pickle"
        )
    if folder.is_dir():
        yield Part(folder, name)
        if name == ROUTER:
            yield from _router_parts(folder)
    elif not MODULE_TYPES[name].optional:
        raise ValueError(f"{path} names {folder.name} for its {name}, which is missing: copy the whole folder again")


def _router_parts(folder: Path) -> Iterator[Part]:
    path = folder / ROUTER_CONFIG
    types = read_object(path).get("types")
    if not isinstance(types, dict) or not 0 < len(types) <= MOST_MODULES:
        raise ValueError(f"{path} has to name the modules of its routes under types")
    for name, called in types.items():
        if not re.fullmatch(r"\w[\w-]*", name):
            raise ValueError(f"{path} names {brief(name)}, which is not a folder inside; such a path is never followed")
        yield from _module_parts(path, called, folder / name, inside_router=True)


def module_type(called: Any) -> str | None:
    """The class on the list that the type of a module means; None for any other."""
    match = _TYPE.fullmatch(called) if isinstance(called, str) else None
    if match is None or match[2] not in MODULE_TYPES:
        return None
    file, name = match.groups()
    return name if file in (None, name, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()) else None


def setting_faults(part: Part, objects: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Find settings of a module, of the whole model, or of an adapter, that are not on their list.

    Args:
        part: the folder and its module.
        objects: the JSON objects in it, by file name.
    """
    module = MODULE_TYPES[part.module]
    given = [(module.config, module.settings)] if module.config else []
    if part.module == TRANSFORMER:
        given += [(MODEL_CONFIG, _MODEL_SETTINGS)]
        given += [(ADAPTER, _ADAPTER_SETTINGS)]
    for file, settings in given:
        for key, value in objects.get(file, {}).items():
            where = f"{part.folder / file}: {_key(key)}"
            check = settings.get(key)
            if key.endswith(("_args", "_kwargs")) and check is _nothing and not _nothing(value):
                yield f"{where} would change how the model is opened; remove it"
            elif check is None and file == ADAPTER:
                if not _nothing(value) and key != "runtime_config":
                    yield f"{where} is {brief(value)}: only plain LoRA is opened; merge the adapter where it was made"
            elif check is None and file == MODEL_CONFIG:
                continue  # Not read.
            elif check is None:
                yield f"{where} is no setting of {part.module}; remove it"
            elif not check(value):
                yield f"{where} is {brief(value)}, which is not on the list of what is opened"
    if part.module == ROUTER:
        yield from _router_faults(part.folder / ROUTER_CONFIG, objects.get(ROUTER_CONFIG, {}))
    if part.module == TRANSFORMER:
        yield from _file_faults(part.folder, objects)


def _router_faults(path: Path, content: Mapping[str, Any]) -> Iterator[str]:
    types, structure, parameters = (content.get(key, {}) for key in ("types", "structure", "parameters"))
    if not all(isinstance(value, dict) for value in (types, structure, parameters)) or not structure:
        yield f"{path} has to hold types, structure and parameters"
        return
    for route, names in structure.items():
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n in types for n in names):
            yield f"{path}: the route {_key(route)} is {brief(names)}, which is no list of its modules"
    known: dict[str, Check] = {
        "default_route": _either(_nothing, lambda value: value in structure),
        "allow_empty_key": _of(bool),
        "route_mappings": _nothing,
    }
    for key, value in parameters.items():
        if key not in known or not known[key](value):
            yield f"{path}: {_key(key)} is {brief(value)}, which is not on the list of what is opened"


def _file_faults(folder: Path, objects: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Find files that a library would read though they are not on the list."""
    if not objects.get(SENTENCE_CONFIG):
        for name in LEGACY_CONFIGS:
            if (folder / name).exists():
                yield (
                    f"{folder / name} is a legacy name of {SENTENCE_CONFIG}: rename it, if there is no such file, or "
                    "remove it"
                )
    for name in PROCESSORS:
        if (folder / name).exists():
            yield f"{folder / name} would make a processor of pictures or sounds: remove it from an encoder of texts"


def config_faults(where: Path, config: Mapping[str, Any], stored: int) -> Iterator[str]:
    """Find keys in a `config.json` that open something else, or keep a model class busy while it is built.

    Args:
        where: the file.
        config: its content.
        stored: number of tensors that are stored beside it.
    """
    level: list[Any] = [config]
    while level:
        for outer in level:
            for key, value in outer.items() if isinstance(outer, dict) else ():
                yield from _key_faults(where, key, value, max(stored, FEW), stored)
        level = [inner for outer in level for inner in containers(outer)]


def _key_faults(where: Path, key: str, value: Any, most: int, stored: int) -> Iterator[str]:
    if key in _REFUSED_KEYS and not _nothing(value):
        yield f"{where}: {key} {_REFUSED_KEYS[key]}"
    elif "_implementation" in key and value is not None and value not in _IMPLEMENTATIONS:
        yield f"{where}: {_key(key)} is {brief(value)}, and could be a kernel from the Hub: remove it"
    elif _COUNTED.search(key):
        numbers = [value] if isinstance(value, int) else value if isinstance(value, list) else []
        whole = [number for number in numbers if isinstance(number, int)]
        if (total := sum(whole)) > most or any(number > most for number in whole):
            yield f"{where}: {_key(key)} is {brief(total)}, but {stored} weights are stored"


def _key(key: str) -> str:
    """A key as it is shown: plain where it is a name."""
    return key if re.fullmatch(r"[\w.-]{1,80}", key) else brief(key)
