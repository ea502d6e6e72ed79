"""Encoders that others have made go through both stages and come out as Hub folders without code.

Tiny new models of each architecture: Stage I by the collator in a plain Trainer, Stage II by `contrast`, `export` with
ONNX graphs; then AutoModel, SentenceTransformer and onnxruntime give one embedding.
"""

import importlib.util
import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.train.release import native
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.release.onnx_graph import GRAPH, QUANTIZED_GRAPH, open_graph
from open_codesage.train.stages import ContrastConfig, DataCollatorForIdentifierMasking
from open_codesage.train.stages.contrast import main as contrast
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, Trainer, TrainingArguments

SCRIPTS = Path(__file__).parents[1] / "scripts"
tiny = runpy.run_path(str(SCRIPTS / "tiny_encoders.py"))
CODE = "def merge_windows(first, second):\n    return first + second\n"
TEXTS = ["merge the windows of two files", CODE, "x = 1\n" * 100]
ORIGIN = {"base_model": "somebody/encoder", "base_license": "mit"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPTS / "contrast_run.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_corpus(folder / "corpus")
    return folder


def stage_one(kind, folder):
    """Train a new encoder for two steps on rows of text."""
    source = tiny["write"](kind, folder / f"{kind}-0", [CODE, *TEXTS])
    tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModelForMaskedLM.from_pretrained(source)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    rows = [{"content": CODE.replace("first", name), "lang": "python"} for name in ("one", "other", "left", "right")]
    arguments = TrainingArguments(
        str(folder / f"{kind}-run"), max_steps=2, per_device_train_batch_size=2, remove_unused_columns=False,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, learning_rate=1e-2,
    )  # fmt: skip
    collator = DataCollatorForIdentifierMasking(tokenizer, deobfuscation_share=0.5)
    Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator).train()
    assert any(not torch.equal(before[name], weight) for name, weight in model.named_parameters())
    model.save_pretrained(folder / f"{kind}-1")
    tokenizer.save_pretrained(folder / f"{kind}-1")
    return folder / f"{kind}-1"


def stage_two(kind, folder):
    settings = {"steps": 2, "batch_size": 8, "mini_batch_size": None, "text_max_length": 24, "code_max_length": 40}
    paths = {"model": folder / f"{kind}-1", "corpus": folder / "corpus", "output": folder / f"{kind}-2"}
    return contrast(ContrastConfig(**paths, **settings, eval_pairs=8, trainer={"disable_tqdm": True}))


@pytest.mark.parametrize("kind", tiny["ARCHITECTURES"])
def test_from_a_new_encoder_to_a_folder_that_every_library_opens(kind, folder):
    stage_one(kind, folder)
    trained = SentenceTransformer(str(stage_two(kind, folder)), device="cpu")
    hub = export(ExportConfig(folder / f"{kind}-2", folder / f"{kind}-hub", onnx=True, int8=kind == "bert", **ORIGIN))

    expected = trained.encode(TEXTS, convert_to_tensor=True)
    assert (expected @ expected.T - torch.eye(3)).abs().max() > 1e-3, "texts must differ for this to mean anything"
    assert not list(hub.rglob("*.py"))
    assert "auto_map" not in json.loads((hub / "config.json").read_text())
    assert (
        SentenceTransformer(str(hub), device="cpu").encode(TEXTS, convert_to_tensor=True) - expected
    ).abs().max() < 1e-5

    tokenizer = AutoTokenizer.from_pretrained(hub)
    assert tokenizer.model_max_length == 40
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    mask = batch["attention_mask"].unsqueeze(-1)

    def pooled(states):
        return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)

    with torch.inference_mode():
        assert (pooled(AutoModel.from_pretrained(hub).eval()(**batch).last_hidden_state) - expected).abs().max() < 1e-5
    session = open_graph(hub / GRAPH, threads=1)
    names = [given.name for given in session.get_inputs()]
    takes_types = "token_type_ids" in tokenizer.model_input_names and kind != "mpnet"
    assert names == ["input_ids", "attention_mask", *["token_type_ids"] * takes_types]
    [states] = session.run(["last_hidden_state"], {name: batch[name].numpy() for name in names})
    assert (pooled(torch.from_numpy(states)) - expected).abs().max() < 1e-4
    assert (hub / QUANTIZED_GRAPH).is_file() == (kind == "bert")


@pytest.fixture(scope="module")
def bert(folder):
    """What `contrast` makes of a BERT."""
    if not (folder / "bert-2").exists():
        stage_one("bert", folder)
        stage_two("bert", folder)
    return folder / "bert-2"


@pytest.fixture(scope="module")
def hub(bert, folder):
    return export(ExportConfig(bert, folder / "bert-plain", **ORIGIN))


def test_modules_are_written_as_every_version_reads_them(hub):
    """Paths and keys as sentence-transformers 2 to 5 wrote them, and as text-embeddings-inference asks for."""
    assert [module["type"] for module in json.loads((hub / "modules.json").read_text())] == [
        f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize")
    ]
    assert json.loads((hub / "1_Pooling" / "config.json").read_text()) == {
        "word_embedding_dimension": 32,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    assert json.loads((hub / "sentence_bert_config.json").read_text()) == {"max_seq_length": 40, "do_lower_case": False}
    assert json.loads((hub / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    tokenizer = json.loads((hub / "tokenizer.json").read_text())
    assert tokenizer["truncation"] is tokenizer["padding"] is None


def test_the_card_names_the_base_model_its_license_and_what_was_done(hub):
    card = (hub / "README.md").read_text(encoding="utf-8")
    for line in ("base_model: somebody/encoder", "base_model_relation: finetune", "somebody/encoder, under `mit`"):
        assert line in card
    assert "Stage II" in card
    assert "| steps | 2 |" in card
    assert "trust_remote_code" not in card
    assert "custom_code" not in card
    blocks = re.findall(r"^```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)
    for block in blocks[:2]:
        exec(block.replace('"bert-plain"', repr(str(hub))), {})


def test_pooling_prompts_and_missing_normalization_survive_the_export(bert, folder):
    model = SentenceTransformer(str(bert), device="cpu", prompts={"query": "find: "})
    model[1].pooling_mode = "cls"
    del model[2]
    model.save(str(folder / "cls"))
    hub = export(ExportConfig(folder / "cls", folder / "cls-hub", **ORIGIN))
    again = SentenceTransformer(str(hub), device="cpu")
    assert len(again) == 2
    assert again[1].pooling_mode == "cls"
    assert again.prompts["query"] == "find: "
    expected = model.encode_query(TEXTS)
    assert np.abs(expected - again.encode_query(TEXTS)).max() < 1e-5
    assert np.abs(expected - again.encode(TEXTS)).max() > 1e-3, "the prompt must make a difference"
    assert '| Prompt "query" | `find: ` |' in (hub / "README.md").read_text()


def test_what_a_native_folder_has_no_place_for_is_refused(bert, folder, tmp_path):
    with pytest.raises(ValueError, match=r"give base_model.*base_license"):
        export(ExportConfig(bert, tmp_path / "hub"))
    model = SentenceTransformer(str(bert), device="cpu")
    model.append(Dense(32, 8))
    model.save(str(tmp_path / "dense"))
    with pytest.raises(ValueError, match="Dense: only encoder, pooling and normalization"):
        export(ExportConfig(tmp_path / "dense", tmp_path / "hub", **ORIGIN))
    for name, change, message in (
        ("lacking", lambda weights: weights.pop("encoder.layer.0.output.dense.weight"), "weights lack encoder.layer.0"),
        ("extra", lambda weights: weights.update({"classifier.weight": torch.zeros(2, 32)}), "classifier.weight is no"),
    ):
        broken = Path(shutil.copytree(bert, tmp_path / name))
        weights = load_file(broken / "model.safetensors")
        change(weights)
        save_file(weights, broken / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=message):
            export(ExportConfig(broken, tmp_path / "hub", **ORIGIN))
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "modeling_bert.py").touch(), "modeling_bert.py does not belong"),
        (lambda folder: (folder / "pytorch_model.bin").touch(), "pytorch_model.bin does not belong .* pickle"),
        (lambda folder: edit(folder / "config.json", auto_map={"AutoModel": "a.B"}), "has an auto_map"),
        (lambda folder: edit(folder / "config.json", dtype="bfloat16"), "dtype is 'bfloat16'"),
        (lambda folder: edit(folder / "tokenizer_config.json", model_max_length=49), "beyond the 48 tokens"),
        (lambda folder: edit(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False), None),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: mit\n---\n"), "names no base_model"),
    ],
)
def test_a_damaged_native_folder_is_found_out(hub, tmp_path, damage, problem):
    folder = Path(shutil.copytree(hub, tmp_path / "damaged"))
    assert native.problems(folder) == []
    damage(folder)
    problems = check_folder(folder)
    if problem is None:  # without a mode it is the mean: the same model
        assert problems == []
    else:
        assert any(re.search(problem, found) for found in problems), problems


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
