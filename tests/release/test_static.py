"""A static model: every library reads the same vectors, and what goes on the Hub is whole and checked."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model2vec import StaticModel
from open_codesage.modeling import StaticCodeSageConfig, StaticCodeSageModel
from open_codesage.modeling.auto_classes import STATIC_AUTO_MAP
from open_codesage.train.common.static_model import is_static
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.release.layout import STATIC_FILES, is_native
from open_codesage.train.search.static_encoder import StaticEncoder
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

SCRIPTS = Path(__file__).parents[1] / "scripts"
tiny = runpy.run_path(str(SCRIPTS / "tiny_static.py"))
CASES, TEXTS = tiny["CASES"], list(tiny["CASES"].values())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tiny["write"](tmp_path_factory.mktemp("static") / "trained")


@pytest.fixture(scope="module")
def hub(trained):
    return export(ExportConfig(trained, trained.with_name("open-codesage-static"), base_model="somebody/teacher"))


@pytest.fixture(scope="module")
def expected(trained):
    """The mean of the rows, by hand, in float64."""
    rows = load_file(trained / "model.safetensors")["embeddings"].astype(np.float64)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(trained)
    vectors = np.zeros((len(TEXTS), rows.shape[1]))
    for vector, text in zip(vectors, TEXTS, strict=True):
        ids = tokenizer(text, truncation=True)["input_ids"]
        vector += rows[ids].sum(0) / (np.linalg.norm(rows[ids].sum(0)) or 1)
    return vectors


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, change):
    weights = {name: tensor.copy() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# Every reader gives the same vectors


def test_the_cases_are_what_they_say(trained, expected):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(trained)
    counts = {case: len(tokenizer(text)["input_ids"]) for case, text in CASES.items()}
    assert counts["empty"] == 0
    assert counts["long"] > 600
    assert set(tokenizer(CASES["unknown"])["input_ids"]) == {tokenizer.unk_token_id}
    assert {tokenizer.mask_token_id, tokenizer.unk_token_id} <= {
        tokenizer.convert_tokens_to_ids(token) for token in tokenizer.tokenize(CASES["special"])
    } | {None}
    lengths = dict(zip(CASES, np.linalg.norm(expected, axis=1).round(6), strict=True))
    assert lengths == {case: 0 if case in ("empty", "unknown") else 1 for case in CASES}


def test_sentence_transformers(hub, expected):
    """Without trust_remote_code, in float32, as `weights` makes it."""
    model = SentenceTransformer(str(hub), device="cpu")
    assert isinstance(model[0], StaticEmbedding)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)


def test_auto_model(hub, expected):
    tokenizer, model = AutoTokenizer.from_pretrained(hub), AutoModel.from_pretrained(hub)
    assert isinstance(model, StaticCodeSageModel)
    assert [*model.state_dict()] == ["embeddings"]
    assert model.embeddings.dtype == torch.float32
    with torch.inference_mode():
        together = model(**tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt"))
        alone = [model(**tokenizer(text, truncation=True, return_tensors="pt")).pooler_output for text in TEXTS]
    np.testing.assert_allclose(normalize(together.pooler_output), expected, atol=1e-6)
    np.testing.assert_allclose(torch.cat(alone), together.pooler_output, atol=1e-6)
    ids = torch.tensor(tokenizer("open the door")["input_ids"])
    assert torch.equal(together.last_hidden_state[0, : len(ids)], model.embeddings[ids])
    assert not together.last_hidden_state[0, len(ids) :].any(), "padding has no state"


def test_model2vec(hub, expected):
    found = StaticModel.from_pretrained(hub).encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # it gives float16


def test_search_without_torch(hub, expected):
    np.testing.assert_allclose(StaticEncoder.open(hub).embed(TEXTS), expected, atol=1e-6)


def test_the_class_of_the_folder_where_open_codesage_is_not_installed(hub, expected, tmp_path):
    script = (
        "import sys, json, numpy as np\n"
        "sys.modules['open_codesage'] = None\n"
        "from transformers import AutoModel, AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "model, info = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True, output_loading_info=True)\n"
        "assert type(model).__module__.startswith('transformers_modules.'), type(model)\n"
        "assert not any(info.values()), info\n"
        "batch = tokenizer(json.loads(sys.argv[2]), padding=True, truncation=True, return_tensors='pt')\n"
        "np.save(sys.argv[3], model(**batch).pooler_output.detach().numpy())\n"
        "model.save_pretrained(sys.argv[4])\n"
    )
    again = tmp_path / "again"
    command = [sys.executable, "-c", script, str(hub), json.dumps(TEXTS), str(tmp_path / "found.npy"), str(again)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    np.testing.assert_allclose(normalize(torch.from_numpy(np.load(tmp_path / "found.npy"))), expected, atol=1e-6)
    assert {"config.json", "model.safetensors", "static_codesage.py"} == {path.name for path in again.iterdir()}


@pytest.mark.parametrize("sizes", [{"vocab_size": 0}, {"hidden_size": 1.5}, {"hidden_size": 1 << 20}])
def test_sizes_that_no_table_has_are_refused(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))} must be a whole number"):
        StaticCodeSageConfig(**sizes)


# The Hub folder


def test_the_folder_holds_the_listed_files_and_is_small(hub):
    assert {path.relative_to(hub).as_posix() for path in hub.rglob("*")} == STATIC_FILES.keys()
    assert is_static(hub)
    assert not is_native(hub)
    assert check_folder(hub) == []
    weights = load_file(hub / "model.safetensors")
    assert weights["embeddings"].dtype == np.float16
    assert {path.stat().st_mode & 0o444 for path in hub.iterdir()} == {0o444}
    assert json.loads((hub / "config.json").read_text())["auto_map"] == STATIC_AUTO_MAP


def test_the_card_runs_as_it_is_printed(hub, monkeypatch, capsys):
    card = (hub / "README.md").read_text(encoding="utf-8")
    for line in (
        "base_model: somebody/teacher",
        "| Distilled from | somebody/teacher |",
        "stored as float16",
        "model2vec",
    ):
        assert line in card
    for phrase in ("EOS", "AutoModelForMaskedLM", "byte-level", "Stage I"):
        assert phrase not in card
    monkeypatch.chdir(hub.parent)
    blocks = re.findall(r"^```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "card", "exec"), {})
    assert capsys.readouterr().out.count("tensor(") == 2


def test_an_export_can_be_exported_again(hub, tmp_path):
    again = export(ExportConfig(hub, tmp_path / hub.name, base_model="somebody/teacher"))
    for name in STATIC_FILES:
        assert (again / name).read_bytes() == (hub / name).read_bytes(), name


def test_a_table_that_other_libraries_saved_can_be_exported(hub, expected, tmp_path):
    SentenceTransformer(str(hub), device="cpu").save(str(tmp_path / "saved"), create_model_card=False)
    assert "embedding.weight" in load_file(next((tmp_path / "saved").rglob("model.safetensors")))
    again = export(ExportConfig(tmp_path / "saved", tmp_path / "hub"))
    np.testing.assert_allclose(SentenceTransformer(str(again), device="cpu").encode(TEXTS), expected, atol=1e-6)


def test_what_the_folder_has_no_place_for_is_refused(trained, tmp_path):
    for options in ({"onnx": True}, {"dtype": "bfloat16"}):
        with pytest.raises(ValueError, match="is stored as float16 and needs no graph"):
            export(ExportConfig(trained, tmp_path / "hub", **options))
    model = SentenceTransformer(str(trained), device="cpu")
    model.append(Dense(16, 8))
    model.save(str(tmp_path / "dense"))
    with pytest.raises(ValueError, match="StaticEmbedding, Normalize, Dense: only StaticEmbedding, Normalize"):
        export(ExportConfig(tmp_path / "dense", tmp_path / "hub"))
    weighed = Path(shutil.copytree(trained, tmp_path / "weighed"))
    edit_weights(weighed, lambda weights: weights["weights"].__setitem__(3, 2))
    with pytest.raises(ValueError, match="no table that can be stored as float16 as it is"):
        export(ExportConfig(weighed, tmp_path / "hub"))
    assert StaticEncoder.open(weighed) is None, "search must not leave the weights out"
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "static_codesage.py").unlink(), "static_codesage.py is missing"),
        (lambda folder: (folder / "training.json").touch(), "training.json does not belong"),
        (lambda folder: (folder / "static_codesage.py").write_text("import os, requests\n"), "imports requests"),
        (lambda folder: edit(folder / "config.json", auto_map={}), "auto_map must say AutoModel"),
        (lambda folder: edit(folder / "config.json", hidden_size=17), r"asks for \[\d+, 17\] as embeddings"),
        (lambda folder: edit(folder / "config.json", normalize=False), "normalize is not true"),
        (lambda folder: edit(folder / "config.json", dtype="float16"), "dtype is 'float16'"),
        (lambda folder: edit(folder / "config.json", model_type="model2vec"), "model_type is 'model2vec'"),
        (lambda folder: edit(folder / "config.json", quantization_config={"a": 1}), "asks for quantised weights"),
        (lambda folder: edit(folder / "tokenizer.json", truncation=None), "does not cut a text at 512 tokens"),
        (lambda folder: edit(folder / "tokenizer_config.json", model_max_length=20), "away from the normalized"),
        (lambda folder: edit_weights(folder, lambda w: w["weights"].__setitem__(3, 2)), "a table called embeddings"),
        (lambda folder: edit_weights(folder, lambda w: w.update(extra=w["weights"])), "holds embeddings, extra"),
        (lambda folder: edit_weights(folder, lambda w: w["embeddings"].__setitem__(1, 1)), r"of \[UNK\] is not zero"),
        (lambda folder: edit_weights(folder, lambda w: w["embeddings"].__setitem__(7, np.nan)), "NaN or Inf"),
        (lambda folder: edit_weights(folder, lambda w: w.update(embeddings=w["embeddings"][:20])), "the token id"),
        (lambda folder: edit_weights(folder, lambda w: w.update(embeddings=w["weights"])), "no matrix"),
        (
            lambda folder: edit_weights(folder, lambda w: w.update(embeddings=w["embeddings"].astype(np.float32))),
            "is float32, not float16",
        ),
    ],
)
def test_a_damaged_folder_is_found_out(hub, tmp_path, damage, problem):
    folder = Path(shutil.copytree(hub, tmp_path / "damaged"))
    damage(folder)
    problems = check_folder(folder)
    assert any(re.search(problem, found) for found in problems), problems
