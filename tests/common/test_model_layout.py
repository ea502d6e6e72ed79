"""A model folder opens what is on the lists, and nothing else: pickles, legacy settings, types, keys, sub-folders."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.tokenization.tokenizer import wrap_tokenizer
from open_codesage.train.common.model_folder import faults, require_safetensors, require_sound
from open_codesage.train.common.model_layout import LEGACY_CONFIGS, MODULE_TYPES, PROCESSORS, module_type
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel

WIDTH, LENGTH = 8, 16
OLD = "sentence_transformers.models"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sentence-transformers folder of a CodeSage model of one block."""
    folder = tmp_path_factory.mktemp("made") / "model"
    words = {word: number for number, word in enumerate(["<|endoftext|>", "<pad>", "<mask>", "x", "y"])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    config = CodeSageConfig(
        vocab_size=16,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=LENGTH,
        pad_token_id=1,
    )
    CodeSageModel(config).save_pretrained(folder)
    wrap_tokenizer(tokenizer, LENGTH).save_pretrained(folder)
    write(folder / "sentence_bert_config.json", max_seq_length=LENGTH, do_lower_case=False)
    write(folder / "config_sentence_transformers.json", prompts={}, similarity_fn_name="cosine")
    entries = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (folder / "modules.json").write_text(
        json.dumps(
            [{"idx": i, "name": str(i), "path": p, "type": f"{OLD}.{kind}"} for i, (p, kind) in enumerate(entries)]
        )
    )
    write(folder / "1_Pooling" / "config.json", word_embedding_dimension=WIDTH, pooling_mode_mean_tokens=True)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "model"))


def write(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def edit(path, **changes):
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def trap(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(Trap(path.parent / "sprung")))


def add(folder, kind, inner=None, base=OLD, **settings):
    """Add a module at the end."""
    modules = json.loads((folder / "modules.json").read_text())
    inner = inner or f"{len(modules)}_{kind}"
    modules.append({"idx": len(modules), "name": inner, "path": inner, "type": f"{base}.{kind}"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / inner).mkdir(exist_ok=True)
    if settings:
        write(folder / inner / "config.json", **settings)
    return folder / inner


def dense(folder, **changes):
    settings = {"in_features": WIDTH, "out_features": 4, "bias": True}
    settings |= {"activation_function": "torch.nn.modules.activation.Tanh"} | changes
    part = add(folder, "Dense", **settings)
    save_file({"linear.weight": torch.ones(4, WIDTH), "linear.bias": torch.ones(4)}, part / "model.safetensors")
    return part


def router(folder, *routes, base=OLD):
    """Put a router with a dense layer for each route at the end."""
    part = add(folder, "Router", base=base)
    types = dict.fromkeys(routes, f"{OLD}.Dense")
    write(
        part / "router_config.json",
        types=types,
        structure={"query": [routes[0]], "document": [routes[-1]]},
        parameters={"default_route": "query", "allow_empty_key": True, "route_mappings": {}},
    )
    for name in routes:
        write(part / name / "config.json", in_features=WIDTH, out_features=4, bias=False)
        save_file({"linear.weight": torch.ones(4, WIDTH)}, part / name / "model.safetensors")
    return part


def typed(called):
    def change(folder):
        modules = json.loads((folder / "modules.json").read_text())
        modules[2]["type"] = called
        (folder / "modules.json").write_text(json.dumps(modules))

    return change


def sentence(**changes):
    return lambda folder: edit(folder / "sentence_bert_config.json", **changes)


def config(**changes):
    return lambda folder: edit(folder / "config.json", **changes)


def without_weights(part, pickled="pytorch_model.bin"):
    (part / "model.safetensors").unlink()
    trap(part / pickled)


def legacy(name, keep=None):
    def change(folder):
        (folder / "sentence_bert_config.json").unlink()
        if keep is not None:
            (folder / "sentence_bert_config.json").write_text(keep)
        write(folder / name, config_kwargs={"num_hidden_layers": 5000})

    return change


def nested_router(folder):
    edit(router(folder, "a", "b") / "router_config.json", types={"a": f"{OLD}.Router", "b": f"{OLD}.Dense"})


def other_weights(folder):
    """A polyglot: a file that safetensors reads, called as a pickle is."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    write(folder / "model.safetensors.index.json", weight_map={"wte.weight": "pytorch_model.bin"})


REFUSED = {
    # A pickle where no safetensors are.
    "pickle": (without_weights, r"pytorch_model\.bin is a pickle"),
    "sharded pickle": (
        lambda folder: without_weights(folder, "pytorch_model-00001-of-00002.bin"),
        r"00002\.bin is a pickle",
    ),
    "pickle of a layer": (lambda folder: without_weights(dense(folder)), r"3_Dense/pytorch_model\.bin is a pickle"),
    "pickle of a norm": (
        lambda folder: trap(add(folder, "LayerNorm", dimension=WIDTH) / "pytorch_model.bin"),
        r"3_LayerNorm/pytorch_model\.bin is a pickle",
    ),
    "pickle of a table": (
        lambda folder: trap(add(folder, "StaticEmbedding") / "pytorch_model.bin"),
        r"3_StaticEmbedding/pytorch_model\.bin is a pickle",
    ),
    "pickle in a route": (
        lambda folder: without_weights(router(folder, "a", "b") / "b"),
        r"3_Router/b/pytorch_model\.bin is a pickle",
    ),
    "pickle in an index": (other_weights, "names 'pytorch_model.bin', which is no safetensors file"),
    "nothing in a layer": (
        lambda folder: (dense(folder) / "model.safetensors").unlink(),
        r"holds no model\.safetensors for its Dense",
    ),
    # Legacy settings.
    **{name: (legacy(name), rf"{name} is a legacy name") for name in LEGACY_CONFIGS},
    "legacy behind an empty one": (legacy("sentence_roberta_config.json", "{}"), "is a legacy name"),
    "legacy router": (
        lambda folder: (p := router(folder, "a")).joinpath("router_config.json").rename(p / "config.json"),
        r"router_config\.json is missing",
    ),
    # Types of modules.
    **{
        f"type {called}": (typed(called), "which is not opened")
        for called in (
            "sentence_transformers.base.modules.module.torch",
            "sentence_transformers.base.modules.module.Module",
            "sentence_transformers.base.modules.transformer.AutoModel",
            "sentence_transformers.models.WordEmbeddings",
            "sentence_transformers.models.CLIPModel",
            "sentence_transformers.models.Asym",
            "sentence_transformers.SentenceTransformer",
            "sentence_transformers.models.Dense.Pooling",
            "sentence_transformers.util.misc.import_from_string",
            "modeling_evil.Module",
            "torch.nn.Identity",
            "",
            7,
            ["sentence_transformers.models.Dense"],
        )
    },
    "many modules": (
        lambda folder: (folder / "modules.json").write_text(
            json.dumps([{"name": str(i), "path": "", "type": f"{OLD}.Normalize"} for i in range(1000)])
        ),
        "names 1,000 modules",
    ),
    "missing part": (lambda folder: shutil.rmtree(dense(folder)), "which is missing"),
    # Routes.
    "router in a router": (nested_router, "which is not opened"),
    "route outside": (
        lambda folder: edit(router(folder, "a") / "router_config.json", types={"../../x": f"{OLD}.Dense"}),
        "not a folder inside",
    ),
    "type in a route": (
        lambda folder: edit(router(folder, "a") / "router_config.json", types={"a": f"{OLD}.module.torch"}),
        "which is not opened",
    ),
    "expression in a route": (
        lambda folder: edit(
            router(folder, "a") / "router_config.json", parameters={"route_mappings": {"(" * 500: "query"}}
        ),
        "route_mappings is",
    ),
    "route of nothing": (
        lambda folder: edit(router(folder, "a") / "router_config.json", structure={"query": ["b"]}),
        "no list of its modules",
    ),
    # Settings.
    "import": (lambda folder: dense(folder, activation_function="torch.hub.load"), "activation_function is"),
    "import of a program": (
        lambda folder: dense(folder, activation_function="torch.utils.bottleneck.__main__.main"),
        "activation_function is",
    ),
    "unknown setting": (lambda folder: dense(folder, init_weight=[1]), "init_weight is no setting of Dense"),
    "width": (lambda folder: dense(folder, in_features=9), "in_features|asks for"),
    "pooling": (
        lambda folder: edit(folder / "1_Pooling" / "config.json", pooling_mode=["mean"] * 10**5),
        "pooling_mode is",
    ),
    "tokenizer elsewhere": (sentence(tokenizer_name_or_path="somebody/evil"), "tokenizer_name_or_path is"),
    "method": (
        sentence(modality_config={"text": {"method": "push_to_hub", "method_output_name": None}}),
        "modality_config is",
    ),
    "pictures": (
        sentence(modality_config={"image": {"method": "forward", "method_output_name": None}}),
        "modality_config is",
    ),
    "task": (sentence(transformer_task="any-to-any"), "transformer_task is"),
    "padding": (sentence(processing_kwargs={"text": {"padding": "max_length"}}), "processing_kwargs would change"),
    "old arguments": (sentence(model_args={"use_safetensors": False}), "model_args would change"),
    "long input": (sentence(max_seq_length=10**9), "max_seq_length is 1000000000"),
    "longer than the positions": (sentence(max_seq_length=LENGTH + 1), "but the model has 16 positions"),
    "other model": (
        lambda folder: edit(folder / "config_sentence_transformers.json", model_type="SparseEncoder"),
        "model_type is 'SparseEncoder'",
    ),
    "prompts": (
        lambda folder: edit(folder / "config_sentence_transformers.json", prompts={"query": 3}),
        "prompts is",
    ),
    **{name: (lambda folder, name=name: write(folder / name, a=1), "would make a processor") for name in PROCESSORS},
    "processor": (
        lambda folder: edit(folder / "tokenizer_config.json", processor_class="CLIPProcessor"),
        "processor_class would make",
    ),
    # Keys of a config.
    "other file": (config(transformers_weights="../evil.bin"), "transformers_weights names the file"),
    "other config": (config(configuration_files=["config.4.json"]), "configuration_files names another file"),
    "kernel": (config(attn_implementation="evil/kernel"), "could be a kernel from the Hub"),
    "kernel inside": (config(text_config={"_attn_implementation": "evil/kernel:f"}), "could be a kernel"),
    "quantised": (config(quantization_config={"quant_method": "gptq"}), "quantization_config asks"),
    "backbone": (config(backbone="resnet50"), "fetches another model"),
    "other architecture": (config(model_type="t5"), "config.json describes|does not describe|weights"),
    "another architecture": (
        config(model_type="bert", type_vocab_size=2, hidden_act="gelu"),
        "config.json describes|does not describe",
    ),
    "unknown architecture": (config(model_type="evil"), "does not describe a model that can be opened"),
    "type that is none": (config(model_type=["codesage"]), "does not describe"),
    "layers in a list": (config(model_type="x", depths=[10**6] * 4), "depths is 4000000"),
    # Links.
    "link": (
        lambda folder: (
            (folder / "added_tokens.json").unlink(missing_ok=True),
            (folder / "added_tokens.json").symlink_to("/etc/hostname"),
        ),
        "is a link out of the folder",
    ),
    "linked part": (
        lambda folder: (
            shutil.move(folder / "1_Pooling", folder.parent / "pool"),
            (folder / "1_Pooling").symlink_to(folder.parent / "pool"),
        ),
        "is a link out of the folder",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_on_the_list_refuses_the_folder_before_anything_opens(case, folder):
    change, message = REFUSED[case]
    change(folder)
    with pytest.raises(ValueError, match=message) as error:
        require_sound(folder)
    assert str(folder) in str(error.value)
    assert not list(folder.rglob("sprung"))


def beside(folder):
    """What usual folders of the Hub bring beside safetensors."""
    for name in (
        "pytorch_model.bin",
        "training_args.bin",
        "1_Pooling/pytorch_model.bin",
        "openvino/openvino_model.bin",
    ):
        trap(folder / name)
    for name in ("tf_model.h5", "rust_model.ot", "vocab.txt", "onnx/model.onnx", "openvino/openvino_model.xml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "picture.png").write_bytes(b"x")
    write(folder / "data_config.json", a=1)
    (folder / "2_Normalize").mkdir()
    write(folder / "sentence_roberta_config.json", config_kwargs={"num_hidden_layers": 5000})  # not read


WELCOME = {
    "as it was made": lambda folder: None,
    "usual files of the Hub": beside,
    "a dense layer": dense,
    "a dense layer without activation": lambda folder: dense(
        folder, activation_function="torch.nn.modules.linear.Identity"
    ),
    "layers of other kinds": lambda folder: add(folder, "Dropout", dropout=0.1),
    "routes": lambda folder: router(folder, "query_0_Dense", "document_0_Dense"),
    "routes by their new name": lambda folder: router(folder, "a", "b", base="sentence_transformers.base.modules"),
    "a prompt": lambda folder: edit(
        folder / "config_sentence_transformers.json", prompts={"query": "query: "}, default_prompt_name=None
    ),
    "today's settings": sentence(
        transformer_task="feature-extraction",
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    ),
}


@pytest.mark.parametrize("case", WELCOME)
def test_what_is_on_the_list_opens_and_encodes(case, folder):
    WELCOME[case](folder)
    require_safetensors(folder)
    model = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
    )
    assert model.encode(["x y"]).shape[0] == 1
    assert not list(folder.rglob("sprung"))


def test_the_refused_folders_would_have_been_opened(folder):
    """Else the tests above would be easy: the library reads legacy settings, and takes torch for a module."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.util.misc import import_from_string

    assert import_from_string("sentence_transformers.base.modules.module.torch") is torch
    legacy("sentence_roberta_config.json")(folder)
    assert Transformer.load_config(str(folder))["config_kwargs"] == {"num_hidden_layers": 5000}
    part = dense(folder)
    weights = load_file(part / "model.safetensors")
    (part / "model.safetensors").unlink()
    torch.save(weights, part / "pytorch_model.bin")
    edit(folder / "sentence_roberta_config.json", config_kwargs={})
    assert SentenceTransformer(str(folder), device="cpu", local_files_only=True)[3].out_features == 4


def test_a_snapshot_of_the_hub_is_made_of_links_into_its_cache(made, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    for path in (path for path in made.rglob("*") if path.is_file()):
        blob = tmp_path / "models--a--b" / "blobs" / path.relative_to(made).as_posix().replace("/", "+")
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(made)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    assert faults(snapshot) == []
    (snapshot / "added_tokens.json").unlink(missing_ok=True)
    (snapshot / "added_tokens.json").symlink_to("/etc/hostname")
    assert "is a link out of the folder" in faults(snapshot)[0]


def test_a_folder_with_the_files_of_an_older_tokenizer_opens(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=16, **sizes)).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x", "y"]))
    assert faults(tmp_path) == []
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", *map(str, range(100)), "[CLS]", "[SEP]", "[MASK]"])
    )
    assert "beyond the model's vocabulary of 16" in faults(tmp_path)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": "MULTITASK_PROMPT_TUNING", "prompt_tuning_init_state_dict_path": "/x.bin"},
        {"megatron_config": {"a": 1}, "megatron_core": "os"},
        {"megatron_core": "evil.module"},
        {"corda_config": {"cache_file": "x.pt"}},
        {"eva_config": {"rho": 1}},
        {"loftq_config": {"loftq_bits": 4}},
        {"layer_replication": [[0, 10**6]]},
        {"init_lora_weights": "pissa_niter_1000000000"},
        {"target_modules": "(a+)+$"},
        {"target_modules": ["(a+)+$"]},
        {"rank_pattern": {"(a+)+$": 8}},
        {"auto_mapping": {"base_model_class": "X", "parent_library": "evil"}},
        {"something_new": {"path": "x"}},
    ],
)
def test_an_adapter_is_plain_lora(made, tmp_path, changes):
    plain = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": str(made), "target_modules": ["c_attn", "c_fc"]}
    plain |= {"eva_config": None, "loftq_config": {}, "init_lora_weights": True, "megatron_core": "megatron.core"}
    write(tmp_path / "adapter_config.json", **plain)
    save_file({"lora_A.weight": torch.zeros(2, WIDTH)}, tmp_path / "adapter_model.safetensors")
    require_sound(tmp_path)
    write(tmp_path / "adapter_config.json", **plain | changes)
    with pytest.raises(ValueError, match=r"plain LoRA|not on the list"):
        require_sound(tmp_path)


def test_a_pickled_adapter_is_refused(made, tmp_path):
    write(tmp_path / "adapter_config.json", peft_type="LORA", r=2, base_model_name_or_path=str(made))
    trap(tmp_path / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"adapter_model\.bin is a pickle"):
        require_sound(tmp_path)


def test_types_are_those_that_the_library_has():
    from sentence_transformers.util.misc import import_from_string

    for name in MODULE_TYPES:
        assert module_type(f"{OLD}.{name}") == name
        assert import_from_string(f"{OLD}.{name}").__name__ == name
