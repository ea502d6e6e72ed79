"""Average: the mean of models of one kind, and of no others."""

import json
import shutil

import pytest
import torch
from open_codesage.train.release.average import RECORD, main
from open_codesage.train.release.config import AverageConfig
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[UNK]", "return", "area", "book", "card", "door", "edge", "def", "x"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def make_model(folder, seed, words=WORDS, **sizes):
    """A folder as `contrast` writes one: a BERT of random weights, mean pooling, normalization."""
    torch.manual_seed(seed)
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    encoder = folder.with_name(f"{folder.name}-encoder")
    BertModel(BertConfig(vocab_size=len(WORDS), **(SIZES | sizes))).save_pretrained(encoder)
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(encoder)
    transformer = Transformer(str(encoder))
    model = SentenceTransformer(modules=[transformer, Pooling(16, "mean"), Normalize()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [make_model(root / name, seed) for seed, name in enumerate("abc")]


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_two_models_are_averaged_by_share_and_the_folder_opens(folders, tmp_path):
    a, b, _ = folders
    output = main(AverageConfig(models=(a, b), output=tmp_path / "mean", share=0.25))
    one, other, mean = weights(a), weights(b), weights(output)
    assert mean.keys() == one.keys()
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, 0.25 * one[name] + 0.75 * other[name])
    opened = SentenceTransformer(str(output), device="cpu")
    assert opened.encode(["return area"]).shape == (1, 16)
    record = json.loads((output / RECORD).read_text())
    assert [part["share"] for part in record["models"]] == [0.25, 0.75]
    assert len({part["hash"] for part in record["models"]}) == 2


def test_several_models_count_alike(folders, tmp_path):
    output = main(AverageConfig(models=tuple(folders), output=tmp_path / "soup"))
    all_weights = [weights(folder) for folder in folders]
    for name, tensor in weights(output).items():
        torch.testing.assert_close(tensor, sum(each[name] for each in all_weights) / 3)


def test_the_format_of_the_first_model_stays_and_the_mean_is_computed_in_float32(folders, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(folders[0], half)
    stored = {name: tensor.bfloat16() for name, tensor in weights(folders[0]).items()}
    save_file(stored, half / "model.safetensors")
    output = main(AverageConfig(models=(half, folders[1]), output=tmp_path / "mean", share=0.5))
    for name, tensor in weights(output).items():
        expected = (stored[name].float() + weights(folders[1])[name]) / 2
        assert torch.equal(tensor, expected.bfloat16())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 4}, r"config.json .* differ in num_attention_heads \(2 and 4\)"),
        ({"words": [*WORDS[:-1], "y"]}, r"tokenizer.json .* differ in model, vocab, x"),
        ({"intermediate_size": 64}, "differ in intermediate_size"),
    ],
)
def test_models_of_another_kind_are_refused_and_nothing_is_written(folders, tmp_path, change, message):
    other = make_model(tmp_path / "other", 5, **change)
    with pytest.raises(ValueError, match=message):
        main(AverageConfig(models=(folders[0], other), output=tmp_path / "mean"))
    assert not (tmp_path / "mean").exists()


def test_other_modules_are_refused(folders, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folders[1], other)
    modules = json.loads((other / "modules.json").read_text())
    (other / "modules.json").write_text(json.dumps(modules[:-1]))
    with pytest.raises(ValueError, match=r"modules.json"):
        main(AverageConfig(models=(folders[0], other), output=tmp_path / "mean"))


def test_other_tensors_are_refused(folders, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folders[1], other)
    stored = weights(other)
    stored["extra.weight"] = torch.zeros(2)
    save_file(stored, other / "model.safetensors")
    with pytest.raises(ValueError, match=r"extra\.weight"):
        main(AverageConfig(models=(folders[0], other), output=tmp_path / "mean"))
    assert not (tmp_path / "mean").exists()


def test_with_tasks_the_curve_between_two_models_is_measured(folders, tmp_path):
    task = tmp_path / "task"
    task.mkdir()
    documents = [{"_id": f"d{n}", "text": f"def {word}", "language": "python"} for n, word in enumerate(WORDS[3:8])]
    queries = [{"_id": f"q{n}", "text": f"return {word}", "language": "en"} for n, word in enumerate(WORDS[3:8])]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (task / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    relevant = "".join(f"q{n}\td{n}\t1\n" for n in range(5))
    (task / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{relevant}")
    config = AverageConfig(
        models=tuple(folders[:2]), output=tmp_path / "mean", share=0.5, tasks=(str(task),), curve=(0.0, 0.5, 1.0)
    )
    rows = json.loads((main(config) / RECORD).read_text())["curve"]
    assert [row["share"] for row in rows] == [0.0, 0.5, 1.0]
    assert all(0 < row["mrr"] <= 100 for row in rows)
    from open_codesage.train.evaluation.config import EvaluateConfig
    from open_codesage.train.evaluation.evaluate import main as evaluate

    alone = evaluate(EvaluateConfig(models=(str(folders[0]),), tasks=(str(task),)))
    assert rows[-1]["mrr"] == next(row["value"] for row in alone["rows"] if row["metric"] == "mrr")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("a",)}, "at least two"),
        ({"share": 1.5}, "share"),
        ({"models": ("a", "b", "c"), "share": 0.5}, "two models"),
        ({"curve": ()}, "curve"),
    ],
)
def test_settings_that_can_not_work_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        AverageConfig(**({"models": ("a", "b"), "output": tmp_path} | options))
