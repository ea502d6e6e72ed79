"""A model without blocks gives the same vectors without torch as with it."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.retrieval.encoder import Encoder
from open_codesage.train.search.encoders import open_encoder
from open_codesage.train.search.released import is_released, released_model
from open_codesage.train.search.static_encoder import StaticEncoder
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tiny_static.py"))
TREE = Path(__file__).parents[1] / "fixtures" / "search"
AREA = (TREE / "area.py").read_text()
SHOP = (TREE / "pkg" / "Shop.java").read_text()


def make_torch_model(folder, layers=0, final_layer_norm=False):
    """A model that the libraries can open, with random weights."""
    tokenizer = train_tokenizer([AREA, SHOP], 400, 32)
    torch.manual_seed(0)
    config = CodeSageConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        final_layer_norm=final_layer_norm,
    )
    CodeSageModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TEXTS = ["open a door", AREA, SHOP * 20, "", "<mask> <pad> <|endoftext|>", "naïve 漢字 \U0001f600", "\t\n  "]


def by_torch(model, texts):
    rows = Encoder(model, 4, show_progress=False).documents(texts).numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_vectors_of_the_released_model_are_those_of_sentence_transformers():
    model = released_model()
    assert is_released(Path(model))
    rows = StaticEncoder.open(Path(model)).embed(TEXTS)
    np.testing.assert_allclose(rows, by_torch(model, TEXTS), atol=1e-6)
    assert (rows @ rows.T).min() < 0.9  # they do differ


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_vectors_of_any_table_are_those_of_transformers(dtype, tmp_path):
    folder = make_torch_model(tmp_path / "model")
    weights = {
        name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    rows = StaticEncoder.open(folder).embed(TEXTS)
    assert SHOP * 20 in TEXTS  # longer than the 32 tokens that it takes
    np.testing.assert_allclose(rows, by_torch(str(folder), TEXTS), atol=2e-6)


def test_the_vectors_of_a_static_model_are_those_of_sentence_transformers(tmp_path):
    folder = tiny["write"](tmp_path / "model")
    texts = [*TEXTS, *tiny["CASES"].values()]
    rows = StaticEncoder.open(folder).embed(texts)
    np.testing.assert_allclose(rows, SentenceTransformer(str(folder), device="cpu").encode(texts), atol=1e-6)
    SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "saved"))  # under another name, in a sub-folder
    np.testing.assert_allclose(open_encoder(str(tmp_path / "saved")).documents(texts), rows, atol=1e-6)


@pytest.mark.parametrize("change", ["prompt", "mapping", "dense"])
def test_a_static_model_that_computes_more_is_left_to_torch(change, tmp_path):
    folder = tiny["write"](tmp_path / "model")
    if change == "prompt":
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"document": "open "}}))
    elif change == "mapping":
        weights = load_file(folder / "model.safetensors")
        weights |= {"mapping": torch.arange(len(weights["embeddings"])).flip(0)}
        save_file(weights, folder / "model.safetensors")
    else:
        model = SentenceTransformer(str(folder), device="cpu")
        model.append(Dense(16, 8))
        folder = tmp_path / "saved"
        model.save(str(folder))
    assert StaticEncoder.open(folder) is None
    model = SentenceTransformer(str(folder), device="cpu")
    expected = model.encode_document(["open the door", "a shop"], normalize_embeddings=True)
    np.testing.assert_allclose(open_encoder(str(folder)).documents(["open the door", "a shop"]), expected, atol=1e-6)


def test_a_static_model_whose_tokenizer_has_more_tokens_is_told(tmp_path):
    folder = tiny["write"](tmp_path / "model")
    save_file({"embeddings": load_file(folder / "model.safetensors")["embeddings"][:9]}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"tokenizer.json gives token ids beyond the 9 rows"):
        StaticEncoder.open(folder)


@pytest.mark.parametrize("change", ["blocks", "norm", "prompt", "pooling"])
def test_a_model_that_computes_more_is_left_to_torch(change, tmp_path):
    settings = {"blocks": {"layers": 1}, "norm": {"final_layer_norm": True}}.get(change, {})
    folder = make_torch_model(tmp_path / "model", **settings)
    if change in ("prompt", "pooling"):
        sentences = SentenceTransformer(str(folder))
        if change == "prompt":
            sentences.prompts = {"query": "search: ", "document": ""}
        folder = tmp_path / "saved"
        sentences.save(str(folder))
        if change == "pooling":
            file = folder / "1_Pooling" / "config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"pooling_mode": "cls"}))
    assert StaticEncoder.open(folder) is None
    np.testing.assert_allclose(
        open_encoder(str(folder)).documents(TEXTS[:3]), by_torch(str(folder), TEXTS[:3]), atol=1e-5
    )


def test_a_damaged_table_is_told(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if "wpe" not in name}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks wte\.weight or wpe\.weight"):
        StaticEncoder.open(folder)
    weights["wte.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="not finite"):
        StaticEncoder.open(folder).embed(["x"])


def test_fewer_dimensions_are_the_first_ones_at_length_1(model):
    whole, part = open_encoder(model), open_encoder(model, 8)
    wanted = whole.documents(["x"])[:, :8]
    np.testing.assert_allclose(part.documents(["x"]), wanted / np.linalg.norm(wanted), atol=1e-6)
    with pytest.raises(ValueError, match=r"dimension is 17, but .* gives embeddings of 16"):
        open_encoder(model, 17)


@pytest.mark.parametrize("kind", ["codesage", "static"])
def test_a_search_with_a_table_opens_no_heavy_library(kind, tree, model, tmp_path):
    model = model if kind == "codesage" else str(tiny["write"](tmp_path / "static"))
    script = (
        "import sys\n"
        "from open_codesage.train.cli import main\n"
        "if __name__ == '__main__':\n"
        f"    arguments = [{str(tree)!r}, '--model', {model!r}, '--index', {str(tree.parent / 'index')!r}]\n"
        "    status = main(['search', 'open a door', *arguments])\n"
        "    heavy = {'torch', 'transformers', 'sentence_transformers', 'bm25s', 'scipy'} & set(sys.modules)\n"
        "    sys.exit(f'opened {heavy}' if heavy else status)\n"
    )
    file = tree.parent / "run.py"
    file.write_text(script)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "area.py:20: def open_slowly(self, seconds)" in done.stdout
