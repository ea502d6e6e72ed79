"""ONNX: graphs in the Hub folder give the model's embeddings in onnxruntime, whatever the batch, and are checked."""

import importlib.util
import io
import re
import runpy
import shutil
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from open_codesage.modeling import CodeSageModel
from open_codesage.train.release import onnx_graph
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main
from open_codesage.train.release.layout import FILES
from open_codesage.train.release.onnx_graph import GRAPH, INPUTS, INT8_GRAPH, OUTPUTS, open_graph
from sentence_transformers import SentenceTransformer

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "export_tiny.py"))
TEXTS = [
    "def larger(a, b):\n    return a if a > b else b",
    "",
    "text <|endoftext|> text",
    "🙂 = '変数'",
    "x = 1\n" * 200,
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # Table and projections are most of the weights, as in a model of real size.
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2}
    return tiny["stage_one"](tmp_path_factory.mktemp("stages") / "first", **sizes)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    output = tmp_path_factory.mktemp("hub") / "tiny"
    with redirect_stdout(io.StringIO()) as printed:
        main(ExportConfig(model=model, output=output, onnx=True, int8=True))
    assert re.fullmatch(r"Export: .*model\.onnx 0\.\d MB, model_int8\.onnx 0\.\d MB, .*\n", printed.getvalue())
    return output


@pytest.fixture(scope="module")
def encoder(exported):
    return CodeSageModel.from_pretrained(exported).eval()


@pytest.fixture
def copied(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def make_batch(rows, length, padding):
    torch.manual_seed(length)
    kept, columns = torch.randint(1, length + 1, (rows, 1)), torch.arange(length)
    mask = {
        "none": torch.ones(rows, length, dtype=torch.bool),
        "right": columns < kept,
        "left": columns >= length - kept,
        "holes": torch.rand(rows, length) < 0.6,
        "empty row": columns < torch.arange(rows)[:, None] * length,
    }[padding]
    return {"input_ids": torch.randint(3, 300, (rows, length)), "attention_mask": mask.long()}


def run_graph(file, batch):
    session = open_graph(file, threads=1)
    return session.run(OUTPUTS, {name: value.numpy() for name, value in batch.items()})


# The float32 graph


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes", "empty row"])
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 17), (3, 2), (5, tiny["POSITIONS"])])
def test_the_graph_is_the_model_at_shapes_it_was_not_traced_with(exported, encoder, rows, length, padding):
    batch = make_batch(rows, length, padding)
    with torch.inference_mode():
        expected = encoder(**batch)
    for name, found in zip(OUTPUTS, run_graph(exported / GRAPH, batch), strict=True):
        assert found.dtype == np.float32
        assert found.shape == tuple(expected[name].shape)
        assert np.abs(found - expected[name].numpy()).max() < 1e-4, name
    assert expected.pooler_output.abs().max() > 0.1 or not batch["attention_mask"].any()


def test_inputs_and_outputs_are_named_and_free_in_both_dimensions(exported):
    for file in (exported / GRAPH, exported / INT8_GRAPH):
        session = open_graph(file)
        assert {i.name: i.shape for i in session.get_inputs()} == {name: ["batch", "length"] for name in INPUTS}
        shapes = {o.name: o.shape for o in session.get_outputs()}
        assert shapes == {OUTPUTS[0]: ["batch", "length", 64], OUTPUTS[1]: ["batch", 64]}
    assert {node.domain for node in onnx.load(exported / GRAPH).graph.node} == {""}, "standard operators only"


def test_the_cards_code_gives_the_embeddings_of_sentence_transformers(exported):
    """Run as printed, but for the download and the texts; nothing of it needs torch, transformers or our code."""
    card = (exported / "README.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S) if "onnxruntime" in block)
    assert set(re.findall(r"^(?:from|import) (\w+)", block, re.M)) == {
        "numpy", "onnxruntime", "huggingface_hub", "tokenizers",
    }  # fmt: skip
    code, replaced = re.subn(r"snapshot_download\(.*\)", repr(str(exported)), block)
    code, texts = re.subn(r"^texts = .*$", lambda _: f"texts = {TEXTS!r}", code, flags=re.M)
    assert replaced == texts == 1
    namespace = {}
    exec(code, namespace)
    expected = SentenceTransformer(str(exported), device="cpu").encode(TEXTS)
    assert np.abs(namespace["embeddings"] - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    assert "model_int8.onnx" in card


# The int8 graph


def test_projections_and_tables_are_whole_numbers(exported):
    graph = onnx.load(exported / INT8_GRAPH).graph
    kinds = Counter()
    for tensor in graph.initializer:
        kinds[onnx.TensorProto.DataType.Name(tensor.data_type)] += len(tensor.raw_data)
    float32 = CodeSageModel.from_pretrained(exported)
    matrices = sum(p.numel() for p in float32.parameters() if p.dim() == 2)
    assert kinds["INT8"] + kinds["UINT8"] >= matrices > 0.9 * float32.num_parameters()
    nodes = Counter(node.op_type for node in graph.node)
    assert nodes["MatMulInteger"] == 4 * float32.config.num_hidden_layers
    assert not nodes["Gemm"]
    assert (exported / INT8_GRAPH).stat().st_size < 0.45 * (exported / GRAPH).stat().st_size


def test_int8_embeddings_are_near_but_not_equal(exported, encoder):
    batch = make_batch(5, 40, "left")
    with torch.inference_mode():
        expected = encoder(**batch).pooler_output
    found = torch.from_numpy(run_graph(exported / INT8_GRAPH, batch)[1])
    assert torch.cosine_similarity(expected, found).min() > 0.99
    assert (expected - found).abs().max() > 1e-4


# The folder


def test_the_folder_holds_the_graphs_and_is_valid(exported):
    found = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert found == {*FILES, GRAPH, INT8_GRAPH}
    assert check_folder(exported) == []


def test_no_graph_tells_about_this_machine(exported):
    for file in (exported / GRAPH, exported / INT8_GRAPH):
        content = file.read_bytes()
        for word in (b".py", b"forward", str(Path.home()).encode() + b"/", str(exported.parent).encode()):
            assert word not in content, (file, word)


def test_an_earlier_export_with_graphs_is_replaced_whole(model, copied):
    main(ExportConfig(model=model, output=copied, overwrite=True))
    assert not (copied / "onnx").exists()
    assert "onnxruntime" not in (copied / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [GRAPH, INT8_GRAPH])
def test_a_graph_of_another_model_is_found(name, copied):
    other = onnx.load(copied / name)
    table = max(other.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    table.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table)[::-1].copy(), table.name))
    onnx.save(other, copied / name)
    (problem,) = check_folder(copied)
    assert str(copied / name) in problem
    assert "not this model" in problem


@pytest.mark.parametrize("damage", ["truncated", "empty", "outputs"])
def test_a_graph_that_does_not_run_is_found(damage, copied):
    file = copied / GRAPH
    if damage == "outputs":
        graph = onnx.load(file)
        del graph.graph.output[1]
        onnx.save(graph, file)
    else:
        file.write_bytes(file.read_bytes()[: 5000 if damage == "truncated" else 0])
    (problem,) = check_folder(copied)
    assert f"{file} cannot be run" in problem


def test_weights_apart_lie_beside_their_graph(exported, encoder, tmp_path, monkeypatch):
    """As for models whose graphs are larger than a protobuf message may be."""
    monkeypatch.setattr(onnx_graph, "ONE_FILE", 10_000)
    files = [tmp_path / "model.onnx", tmp_path / "model_int8.onnx"]
    onnx_graph._save(onnx.load(exported / GRAPH), files[0])
    onnx_graph.quantise_graph(*files)
    batch = make_batch(2, 9, "right")
    for file, name in zip(files, (GRAPH, INT8_GRAPH), strict=True):
        data = file.with_name(f"{file.name}.data")
        assert data.stat().st_size > file.stat().st_size / 4
        assert data.stat().st_mode == file.stat().st_mode
        assert np.array_equal(run_graph(file, batch)[1], run_graph(exported / name, batch)[1])


# What is asked for


def test_missing_packages_are_named_before_anything_is_written(model, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ValueError, match=re.escape('needs onnxscript: run `pip install "open-codesage[onnx]"`')):
        main(ExportConfig(model=model, output=tmp_path / "hub", onnx=True))
    assert not any(tmp_path.iterdir())


def test_int8_alone_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="set onnx too"):
        main(ExportConfig(model=model, output=tmp_path / "hub", int8=True))


def test_without_onnxruntime_the_check_says_what_it_left_out(exported, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    assert check_folder(exported) == []
    assert "was not compared with the weights" in capsys.readouterr().out
