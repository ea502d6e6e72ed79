"""Hostile model folders: a clear fault by every way in, no crash, nothing executed, no memory filled."""

import json
import os
import re
import runpy
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
from open_codesage.modeling import CodeSageConfig
from open_codesage.train.common.model_folder import faults, require_safetensors, require_sound
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main
from open_codesage.train.retrieval.encoder import Encoder, open_sentence_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

SCRIPTS = Path(__file__).parents[1] / "scripts"
tiny = runpy.run_path(str(SCRIPTS / "export_tiny.py"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return main(ExportConfig(model=tiny["stage_one"](work / "model"), output=work / "open-codesage-tiny"))


@pytest.fixture
def folder(exported, tmp_path):
    """A sound Hub folder, to be made hostile."""
    return Path(shutil.copytree(exported, tmp_path / "folder"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def config(**changes):
    return lambda folder: edit(folder / "config.json", **changes)


def tokenizer(**changes):
    return lambda folder: edit(folder / "tokenizer.json", **changes)


def settings(**changes):
    return lambda folder: edit(folder / "tokenizer_config.json", **changes)


def model(**changes):
    """Change the BPE model inside the tokenizer."""

    def change(folder):
        content = json.loads((folder / "tokenizer.json").read_text())
        edit(folder / "tokenizer.json", model=content["model"] | changes)

    return change


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def weights(change):
    """Change the tensors of a folder."""

    def resave(folder):
        path = folder / "model.safetensors"
        save_file(load_file(path) | change, path, metadata={"format": "pt"})

    return resave


def header(change, cut=None):
    """Change the header of the safetensors file, or cut the file."""

    def rewrite(folder):
        content = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        tensors = json.loads(content[8 : 8 + length])
        change(tensors)
        new = json.dumps(tensors).encode()
        (folder / "model.safetensors").write_bytes((struct.pack("<Q", len(new)) + new + content[8 + length :])[:cut])

    return rewrite


def index(**names):
    def change(folder):
        (folder / "model.safetensors").rename(folder / "shard.safetensors")
        text("model.safetensors.index.json", json.dumps({"weight_map": names}))(folder)

    return change


def modules(path):
    return text("modules.json", json.dumps([{"idx": 0, "name": "0", "path": path, "type": "x"}]))


def add_module(folder, name, settings, **files):
    """Add a module of sentence-transformers, without weights."""
    modules = json.loads((folder / "modules.json").read_text())
    inner = f"{len(modules)}_{name}"
    kind = f"sentence_transformers.models.{name}"
    modules.append({"idx": len(modules), "name": inner, "path": inner, "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / inner).mkdir()
    (folder / inner / "config.json").write_text(json.dumps(settings))
    return folder / inner


def pipe(folder):
    (folder / "added_tokens.json").unlink(missing_ok=True)
    os.mkfifo(folder / "added_tokens.json")


def overlap(tensors):
    tensors["ln_f.bias"]["data_offsets"] = tensors["ln_f.weight"]["data_offsets"]


def huge(tensors):
    tensors["wte.weight"]["shape"] = [1 << 40, 1 << 40]


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<e>", "type_id": 0}}],
    "pair": [],
}
PADDING = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}

HOSTILE = {
    "module size": (
        lambda folder: edit(folder / "1_Pooling" / "config.json", embedding_dimension=4 * 10**9),
        "embedding_dimension is 40000.*not on the list",
    ),
    "arguments": (
        lambda folder: edit(folder / "sentence_bert_config.json", config_kwargs={"num_hidden_layers": 1000}),
        "config_kwargs would change how the model is opened",
    ),
    # Tokenizers: panics at opening and at encoding, errors, ids beyond the vocabulary, files elsewhere.
    "panic prefix": (model(continuing_subword_prefix="######"), r"tokenizer\.json cannot be opened: .*out of range"),
    "panic charsmap": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "cannot be opened: .*charsmap",
    ),
    "panic template": (tokenizer(post_processor=TEMPLATE | {"special_tokens": {}}), "opened: no entry found"),
    "panic stride": (
        tokenizer(truncation={"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 5}),
        "cannot be opened: .*stride",
    ),
    "merges": (model(merges=[["a", "no such token"]]), "cannot be opened: .*out of vocabulary"),
    "regex": (
        tokenizer(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}),
        "cannot be opened: .*parenthesis",
    ),
    "tokenizer list": (text("tokenizer.json", "[]"), "cannot be opened: .*sequence"),
    "tokenizer nested": (text("tokenizer.json", "[" * 100_000), "tokenizer.json cannot be opened"),
    "tokenizer bytes": (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff\xfe"), "opened: .*utf-8"),
    "ids": (
        tokenizer(
            post_processor=TEMPLATE
            | {"special_tokens": {"<e>": {"id": "<e>", "ids": [4_000_000_000], "tokens": ["<e>"]}}}
        ),
        "gives the token id 4000000000, beyond the model's vocabulary",
    ),
    "other tokenizer": (settings(fast_tokenizer_files=["../tokenizer.4.0.0.json"]), "fast_tokenizer_files"),
    "tokenizer elsewhere": (settings(tokenizer_file="/etc/passwd"), "'/etc/passwd'; such a path is never followed"),
    "max length": (settings(model_max_length="long"), "model_max_length is 'long'"),
    # Weights: no file of its kind, headers that lie, values that are none.
    "truncated": (header(lambda tensors: None, cut=-4), "no readable safetensors"),
    "cut in the header": (header(lambda tensors: None, cut=100), "no readable safetensors"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "no readable safetensors"),
    "header length": (
        lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}"),
        "no readable safetensors",
    ),
    "overlapping": (header(overlap), "no readable safetensors"),
    "huge shape": (header(huge), "no readable safetensors"),
    "shape": (weights({"ln_f.bias": torch.zeros(7)}), r"ln_f\.bias has shape \[7\], config.json asks for \[32\]"),
    "nan": (weights({"ln_f.bias": torch.full((32,), torch.nan)}), "ln_f.bias holds NaN or Inf"),
    # Paths that lead out of the folder, and files that are none.
    "index up": (index(x="../../x.safetensors"), "'../../x.safetensors', which is not a file beside it"),
    "index root": (index(x="/etc/passwd"), "'/etc/passwd', which is not a file beside it"),
    "index missing": (index(x="other.safetensors"), "other.safetensors, which is missing"),
    "index number": (index(x=7), "no index of weights"),
    "modules up": (modules("../other"), "'../other', which is not a folder inside"),
    "modules root": (modules("/etc"), "'/etc', which is not a folder inside"),
    "modules object": (text("modules.json", "{}"), "has to hold a list of modules"),
    "pipe": (pipe, "is no regular file"),
    # Configs.
    "config list": (text("config.json", "[]"), "config.json holds a list, but has to hold a JSON object"),
    "config nested": (text("config.json", '{"a":' * 500_000), "config.json is nested too deeply"),
    "config deep": (text("config.json", '{"a":' * 99 + "1" + "}" * 99), "config.json is nested too deeply"),
    "config cut": (text("config.json", '{"model_type": '), "config.json is not JSON"),
    "config long": (text("config.json", '{"a": "' + "x" * (5 << 20) + '"}'), "config.json is 5,242,8.. bytes long"),
    "digits": (text("config.json", '{"vocab_size": ' + "9" * 5000 + "}"), "config.json is not JSON"),
    "vocabulary": (config(vocab_size=10**12), "vocab_size must be .* at most"),
    "hidden": (config(hidden_size=10**9), "hidden_size must be .* at most"),
    "wide": (config(hidden_size=1 << 16, intermediate_size=1 << 18, vocab_size=1 << 24), "config.json asks for"),
    "layers": (config(num_hidden_layers=10**9), "num_hidden_layers is 1000000000, but 28 weights are stored"),
    "more layers": (config(num_hidden_layers=100), r"the weights lack h\.10\..* and \d+ more"),
    "labels": (config(num_labels=10**9), "num_labels is 1000000000, more than"),
    "heads": (config(num_attention_heads=0), "num_attention_heads must be"),
    "activation": (config(activation_function="os.system"), "no activation named 'os.system'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_each_hostile_folder_has_one_clear_fault(case, folder):
    change, match = HOSTILE[case]
    change(folder)
    with pytest.raises(ValueError, match=match) as found:
        require_sound(folder)
    assert str(folder) in str(found.value)
    assert str(found.value).count("\n") == 1, "one fault, one line"
    (fault,) = check_folder(folder)
    assert re.search(match, fault)


def test_a_sound_folder_has_no_fault(exported, tmp_path):
    assert faults(exported) == []
    assert faults(tmp_path / "missing") == [f"{tmp_path / 'missing'} is not a folder"]


def test_the_panics_are_ones_that_no_except_clause_for_exceptions_stops(folder):
    """Else the tests above would be easy."""
    for case in ("panic prefix", "panic charsmap"):
        shutil.copy(folder / "tokenizer.json", folder / "kept")
        HOSTILE[case][0](folder)
        with pytest.raises(BaseException, match=r".") as panic:
            Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert not isinstance(panic.value, Exception)
        (folder / "kept").replace(folder / "tokenizer.json")


def _open_for_evaluation(folder):
    Encoder(str(folder), batch_size=1, max_length=None)


def _export(folder):
    main(ExportConfig(model=folder, output=folder.with_name("hub")))


@pytest.mark.parametrize(
    "case", ["panic charsmap", "overlapping", "index up", "layers", "nan", "config list", "arguments"]
)
@pytest.mark.parametrize(
    "way", [_open_for_evaluation, _export, require_safetensors], ids=["evaluate", "export", "train"]
)
def test_every_way_in_refuses(way, case, folder):
    change, match = HOSTILE[case]
    change(folder)
    with pytest.raises(ValueError, match=match):
        way(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["folder"], "nothing may be written"


def test_a_hub_folder_has_our_modules_only(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.sentence_transformer.modules.LayerNorm"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert [fault for fault in check_folder(folder) if "LayerNorm" in fault]


def test_a_graph_with_loops_is_not_run(folder):
    node = onnx.helper.make_node("Loop", ["n", "c"], ["y"], body=onnx.helper.make_graph([], "body", [], []))
    graph = onnx.helper.make_graph([node], "g", [], [])
    (folder / "onnx").mkdir()
    onnx.save(onnx.helper.make_model(graph), folder / "onnx" / "model.onnx")
    assert [fault for fault in check_folder(folder) if "loops or branches" in fault]


def adapter(folder, base, **changes):
    """Write the files of an adapter of rank 4."""
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": str(base)} | changes
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"lora_A.weight": torch.zeros(4, 16)}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 10**8}, "r is 100000000, which is not on the list of what is opened"),
        ({"r": 1000}, "a rank of 1000, but no stored weight is wider than 16"),
        ({"rank_pattern": {"c_attn": 10**8}}, "rank_pattern is .*100000000.*, which is not on the list"),
        ({"rank_pattern": {"c_attn": 1000}}, "a rank of 1000, but no stored weight is wider than 16"),
    ],
)
def test_an_adapter_of_a_huge_rank_is_refused(exported, tmp_path, changes, message):
    require_sound(adapter(tmp_path / "sound", exported))
    with pytest.raises(ValueError, match=message):
        require_sound(adapter(tmp_path / "hostile", exported, **changes))


def test_the_base_of_an_adapter_is_checked(folder, tmp_path):
    change, match = HOSTILE["overlapping"]
    change(folder)
    with pytest.raises(ValueError, match=match):
        require_sound(adapter(tmp_path / "adapter", folder))
    with pytest.raises(ValueError, match="which is an adapter itself"):
        require_sound(adapter(tmp_path / "second", tmp_path / "adapter"))
    with pytest.raises(ValueError, match="names no base model"):
        require_sound(adapter(tmp_path / "third", ""))


def test_a_download_is_checked_before_it_is_opened(folder, monkeypatch):
    change, match = HOSTILE["overlapping"]
    change(folder)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda model, allow_patterns: str(folder))
    with pytest.raises(ValueError, match=match):
        open_sentence_model("somebody/hostile")


def test_a_folder_of_another_architecture_is_measured_by_its_weights(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=50, **sizes)).save_pretrained(tmp_path)
    assert faults(tmp_path) == []
    for change, match in (
        ({"vocab_size": 10**9}, r"declares 3\.2e\+10 weights, but only"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000, but"),
        ({"hidden_size": 10**15}, "does not describe a model that can be opened"),
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
    ):
        kept = (tmp_path / "config.json").read_text()
        edit(tmp_path / "config.json", **change)
        with pytest.raises(ValueError, match=match):
            require_sound(tmp_path)
        (tmp_path / "config.json").write_text(kept)


def test_modules_of_sentence_transformers_are_looked_into(folder):
    add_module(folder, "Dense", {"in_features": 10**6, "out_features": 32, "bias": False})
    save_file({"linear.weight": torch.zeros(32, 32)}, folder / "3_Dense" / "model.safetensors")
    (fault,) = faults(folder)
    assert "3_Dense/config.json asks for [32, 1000000] as linear.weight, but [32, 32] is stored" in fault


def test_the_config_class_itself_refuses_absurd_sizes():
    for name, value in (("vocab_size", 10**12), ("num_hidden_layers", 10**6), ("num_labels", 10**9)):
        with pytest.raises(ValueError, match=f"{name} must be .* at most"):
            CodeSageConfig(**{name: value})
    assert CodeSageConfig(num_labels=70_000).num_labels == 70_000


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_the_tokenizer_may_die_or_eat_its_memory_in_a_process_of_its_own(folder):
    """A fixed padding of a trillion tokens ends any process that encodes with it."""
    tokenizer(padding=PADDING | {"strategy": {"Fixed": 10**12}})(folder)
    script = f"from tokenizers import Tokenizer; Tokenizer.from_file({str(folder / 'tokenizer.json')!r}).encode('x')"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode < 0
    assert faults(folder) == []  # transformers pads as each call says, not as the file does
    tokenizer(normalizer={"type": "Replace", "pattern": {"String": "x"}, "content": "y" * (48 << 20)})(folder)
    tokenizer(padding=None)(folder)
    (fault,) = faults(folder)
    assert "tokenizer.json cannot be opened: " in fault


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_fault_costs_memory(exported, tmp_path):
    cases = ("vocabulary", "hidden", "wide", "layers", "more layers", "labels", "huge shape", "header length")
    folders = [Path(shutil.copytree(exported, tmp_path / case)) for case in (*cases, "config nested", "panic charsmap")]
    for folder in folders:
        HOSTILE[folder.name][0](folder)
    command = [sys.executable, SCRIPTS / "hostile_memory.py", exported, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {case: len(found) for case, found in json.loads(done.stdout).items()} == dict.fromkeys(
        (folder.name for folder in folders), 1
    )
