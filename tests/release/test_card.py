"""The model card: every figure comes from a record, and what is not recorded is said to be so."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard
from open_codesage.modeling import CodeSageConfig
from open_codesage.train.common.identity import folder_hash
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS
from open_codesage.train.evaluation.results import SCHEMA
from open_codesage.train.release.card import model_card
from open_codesage.train.release.config import ExportConfig

NOT_RECORDED = "not recorded"


def results(path, model, mrr, task="held-out", queries=1234, documents=5678, **more):
    """Write a record of one or several models (name: MRR) on one task."""
    models = model if isinstance(model, dict) else {model: mrr}
    figures = [(name, "mrr", value) for name, value in models.items()]
    figures += [(name, metric, value) for name in models for metric, value in more.items()]
    rows = [
        {"model": name, "task": task, "protocol": "full", "part": "all", "metric": metric, "value": value}
        for name, metric, value in [*figures, (next(iter(models)), "recall@50", 77.77)]
    ]
    rows.append({**rows[0], "part": "python", "value": 88.88})
    record = {
        "schema": SCHEMA,
        "models": {name: {"hash": f"hash of {name}"} for name in models},
        "tasks": {task: {"layout": "search", "hash": f"{queries}", "queries": queries, "documents": documents}},
        "rows": rows,
    }
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def training(folder, settings, **facts):
    folder.mkdir(exist_ok=True)
    (folder / "training.json").write_text(json.dumps({"settings": settings, **facts}), encoding="utf-8")
    return folder


def corpus(folder, files, functions):
    """Write a corpus folder of (language, licence, unit) rows; the unit "held" is held out."""
    for kind, columns, rows in (("files", FILE_COLUMNS, files), ("functions", FUNCTION_COLUMNS, functions)):
        (folder / kind).mkdir(parents=True)
        origins = [dict(zip(("language", "licence", "unit"), row, strict=True)) for row in rows]
        pq.write_table(pa.Table.from_pylist(origins, pa.schema(columns)), folder / kind / "part-00000.parquet")
    (folder / "held_out.json").write_text(json.dumps({"units": ["held"]}))
    return folder


@pytest.fixture
def write(tmp_path):
    """Write the card of an export and read it again: its metadata and its text."""

    def write(layers=3, **config):
        (tmp_path / "model").mkdir(exist_ok=True)
        settings = {"model": tmp_path / "model", "output": tmp_path / "open-codesage-tiny"} | config
        encoder = CodeSageConfig(vocab_size=1000, hidden_size=48, num_hidden_layers=layers, num_attention_heads=4)
        model_card(ExportConfig(**settings), encoder, parameters=7654321, max_length=384).save(tmp_path / "README.md")
        return ModelCard.load(tmp_path / "README.md")

    return write


def section(card, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", card.text, flags=re.M | re.S)[1]


def test_without_records_the_card_says_so_and_shows_no_result(write):
    card = write()
    assert NOT_RECORDED in section(card, "Training data")
    assert section(card, "Training").count("Hyper-parameters: not recorded.") == 2
    assert section(card, "Results").strip() == "No evaluation is recorded."
    assert card.data.eval_results is None
    assert "model-index" not in card.data.to_dict()


def test_the_encoder_is_described_by_its_config(write):
    table = write(dtype="bfloat16").text.partition("## Usage")[0]
    for fact in ("7,654,321", "3, 4, 48", "1,000 tokens", "384 tokens", "48 dimensions", "stored as bfloat16"):
        assert fact in table


def test_the_metadata_can_be_read_by_the_hub(write, tmp_path):
    card = write(
        license="mit", languages=("python", "ruby"), datasets=("user/pairs",), base_model="user/base", name="user/tiny"
    )
    assert card.data.license == "mit"
    assert card.data.language == ["code", "en"]
    assert card.data.library_name == "sentence-transformers"
    assert card.data.pipeline_tag == "sentence-similarity"
    assert card.data.datasets == ["user/pairs"]
    assert card.data.base_model == "user/base"
    assert {"python", "ruby", "custom_code", "transformers"} <= set(card.data.tags)
    assert "| Fine-tuned from | user/base |" in card.text
    assert "`mit`" in section(card, "License")


def test_measured_metrics_are_the_model_index_and_the_table(write, tmp_path):
    ours = results(tmp_path / "ours.json", "stage2", 43.21987, **{"recall@10": 65.4})
    others = (results(tmp_path / "bm25.json", {"bm25": 38.76, "untrained": 0.55}, None),)
    card = write(metrics=(ours,), baselines=others)
    index = {result.metric_type: result for result in card.data.eval_results}
    assert {name: result.metric_value for name, result in index.items()} == {"mrr": 43.22, "recall@10": 65.4}
    assert card.data.model_name == "open-codesage-tiny"
    assert {result.dataset_name for result in index.values()} == {"held-out, all documents ranked"}
    text = section(card, "Results")
    assert "held-out, all documents ranked: 1,234 queries, 5,678 documents, in percent." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows == [
        "| Model | MRR | recall@10 |",
        "|---|---:|---:|",
        "| bm25 | 38.8 | not measured |",
        "| untrained | 0.6 | not measured |",
        "| **open-codesage-tiny** | 43.2 | 65.4 |",
    ]


def test_only_the_same_data_share_a_table(write, tmp_path):
    ours = (results(tmp_path / "a.json", "x", 1.0), results(tmp_path / "b.json", "x", 2.0, queries=9))
    text = section(write(metrics=ours), "Results")
    assert text.count("| Model |") == 2
    assert text.index("1,234 queries") < text.index("1.0") < text.index("9 queries") < text.index("2.0")


def test_of_a_file_of_several_models_the_exported_one_is_told_by_its_hash(write, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    several = results(tmp_path / "several.json", {"bm25": 3.0, "stage2": 4.0}, None)
    with pytest.raises(ValueError, match="holds several models, and none of them is"):
        write(metrics=(several,))
    several.write_text(several.read_text().replace("hash of stage2", folder_hash(tmp_path / "model")))
    text = section(write(metrics=(several,)), "Results")
    assert "| bm25 | 3.0 |\n| **open-codesage-tiny** | 4.0 |" in text


def test_paths_in_the_name_of_a_baseline_are_not_shown(write, tmp_path):
    names = ("runs/untrained", str(tmp_path / "gone"), "user/on-the-hub")
    others = [results(tmp_path / f"{number}.json", name, number) for number, name in enumerate(names)]
    text = section(write(baselines=tuple(others)), "Results")
    assert re.findall(r"^\| (\S+) \| \d", text, flags=re.M) == ["runs/untrained", "gone", "user/on-the-hub"]


def test_figures_that_can_not_be_shown_are_refused(write, tmp_path):
    with pytest.raises(ValueError, match=r"nan\.json .*finite"):
        write(metrics=(results(tmp_path / "nan.json", "x", float("nan")),))
    one, two = (results(tmp_path / f"{name}.json", "bm25", 1.0) for name in ("one", "two"))
    with pytest.raises(ValueError, match="mrr of bm25 was measured twice"):
        write(baselines=(one, two))


def test_no_figure_of_the_results_is_written_by_hand(write, tmp_path):
    """Other records, other figures: not one number stays."""
    figures = []
    for mrr, queries in ((11.1, 222), (33.3, 555)):
        path = results(tmp_path / "ours.json", "x", mrr, queries=queries, documents=2 * queries)
        figures.append(set(re.findall(r"\d+(?:\.\d+)?", section(write(metrics=(path,)), "Results"))))
    assert all(figures)
    assert not figures[0] & figures[1]


def test_hyper_parameters_of_both_stages_come_from_their_records(write, tmp_path):
    first = training(
        tmp_path / "first", {"learning_rate": 3e-4, "model": {"hidden_size": 48}}, steps=1500, device="cpu"
    )
    second = training(tmp_path / "second", {"temperature": 0.05, "init_from": None}, tokens=1234567)
    (second / "modules.json").touch()
    text = section(write(model=second, stage_one=first), "Training")
    one, two = text.split("### ")[1:]
    assert one.startswith("Stage I:")
    assert "| learning rate | 0.0003 |\n| model | hidden_size=48 |\n| steps | 1,500 |\n| device | cpu |" in one
    assert two.startswith("Stage II:")
    assert "| temperature | 0.05 |\n| tokens | 1,234,567 |" in two
    assert "init from" not in text


def test_new_weights_are_no_stage_one(write, tmp_path):
    first = training(tmp_path / "first", {"steps": 0, "mask_rate": 0.15}, steps=0)
    second = training(tmp_path / "second", {"temperature": 0.05})
    (second / "modules.json").touch()
    text = section(write(model=second, stage_one=first), "Training")
    assert "Not done: Stage II began with new weights." in text
    assert "mask rate" not in text
    assert "mask rate" in section(write(model=first), "Training")


def test_a_model_of_stage_one_is_not_said_to_have_had_stage_two(write, tmp_path):
    text = section(write(model=training(tmp_path / "first", {"seed": 0})), "Training")
    assert "| seed | 0 |" in text
    assert "Not done: this is the encoder after Stage I." in text


def test_the_training_data_are_counted_without_what_was_held_out(write, tmp_path):
    files = [("python", "MIT", "a")] * 3 + [("python", None, "b")] + [("java", "Apache-2.0", "a")] * 2
    files += [("java", "Apache-2.0", "held")] * 50
    functions = [("python", "MIT", "a")] * 7 + [("java", "MIT", "a"), ("java", "MIT", "held")]
    folder = corpus(tmp_path / "corpus", files, functions)
    card = write(corpus=folder, data="Two hand-made packages.")
    text = section(card, "Training data")
    assert text.strip().startswith("Two hand-made packages.")
    assert "| java | 2 | 1 |\n| python | 4 | 7 |" in text
    assert "Licenses: MIT (3 files), Apache-2.0 (2 files), not recorded (1 files)." in text
    assert "| Programming languages | java, python |" in card.text
    assert {"java", "python"} <= set(card.data.tags)
    only = write(corpus=folder, languages=("python",))
    assert "java" not in section(only, "Training data")
    assert "java" not in only.data.tags


def test_a_bag_of_tokens_is_called_one(write):
    assert "bidirectional Transformer" in write().text
    bag = write(layers=0)
    assert "bidirectional Transformer" not in bag.text
    assert "It is a bag of tokens" in bag.text
    assert "in which order" in section(bag, "Limits and biases")
    assert "in which order" not in section(write(), "Limits and biases")


def test_notes_stand_before_the_limits(write, tmp_path):
    notes = tmp_path / "notes.md"
    with pytest.raises(ValueError, match=r"notes\.md cannot be read"):
        write(notes=notes)
    notes.write_text("## How it scales\n\nTwice the steps: {{ 7 * 7 }}.\n")
    text = write(notes=notes).text
    assert "\n\n## How it scales\n\nTwice the steps: {{ 7 * 7 }}.\n\n## Limits and biases\n" in text


def test_records_can_not_break_out_of_their_cells(write, tmp_path):
    """Licences come from strangers, paths from this machine, and neither is a template."""
    folder = corpus(tmp_path / "corpus", [("python", "x|y\n## Licence\n{{ 7 * 7 }}", "a")], [])
    model = training(
        tmp_path / "first",
        {"trick": "a | b\n\nc", "shards": str(tmp_path / "shards"), "trainer": {"x": str(tmp_path / "y")}},
    )
    card = write(corpus=folder, model=model, data="{{ 7 * 7 }}")
    assert r"x\|y ## Licence {{ 7 * 7 }} (1 files)" in card.text
    assert r"| trick | a \| b c |" in card.text
    assert "| shards | shards |\n| trainer | x=y |" in card.text
    assert str(tmp_path) not in card.content
    assert "49" not in section(card, "Training data")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": 3}', "\x00"])
def test_damaged_records_are_named(write, tmp_path, content):
    for name, config in (
        ("results.json", {"metrics": (tmp_path / "results.json",)}),
        ("training.json", {"model": tmp_path}),
        ("held_out.json", {"corpus": tmp_path}),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=name):
            write(**config)


def test_the_usage_calls_the_model_by_its_name_and_compiles(write):
    for name, called in (("user/tiny", "user/tiny"), (None, "open-codesage-tiny")):
        blocks = re.findall(r"^```python\n(.*?)^```$", section(write(name=name), "Usage"), flags=re.M | re.S)
        assert len(blocks) == 2
        for block in blocks:
            compile(block, "card", "exec")
            assert f'"{called}", trust_remote_code=True' in block


def test_the_paper_is_cited(write):
    assert "arxiv.org/abs/2402.01935" in section(write(), "Citation")


def test_published_figures_and_cosines_stand_beside_ours(write, tmp_path):
    path = results(tmp_path / "ours.json", "ours", 51.0, task="cosqa", queries=500, documents=6267)
    record = json.loads(path.read_text())
    record["tasks"]["cosqa"]["parts"] = {"full": {"all": {"queries": 500, "documents": 6267}}}
    bins = [-1.0, -0.5, 0.0, 0.5, 1.0]
    record["cosines"] = [
        {"model": "ours", "task": "cosqa", "bins": bins, "parallel": [0, 0, 10, 90], "random": [10, 80, 10, 0]}
    ]
    record["runs"] = []
    path.write_text(json.dumps(record))
    text = section(write(metrics=(path,)), "Results")
    assert "| *CodeSage small, published* | 49.9 |" in text
    assert "| cosqa | 0.50 / 1.00 / 1.00 | -0.50 / 0.00 / 0.50 |" in text
    # Not vacuous: on as many other documents the published figure says nothing.
    record["tasks"]["cosqa"]["parts"]["full"]["all"]["documents"] = 6268
    path.write_text(json.dumps(record))
    assert "published" not in section(write(metrics=(path,)), "Results")


def test_dimensions_that_were_trained_alone_are_told(write, tmp_path):
    training(tmp_path / "model", {"matryoshka_dims": [48, 24, 12]})
    assert "first 24, 12 dimensions" in write().text
    training(tmp_path / "model", {})
    assert "Shorter embeddings" not in write().text
