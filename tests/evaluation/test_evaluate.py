"""Evaluation measures the search among held-out functions, for BM25 and for models in both kinds of folders."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, PartWriter
from open_codesage.train.evaluation import evaluate, measure, mteb_tasks
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main
from open_codesage.train.retrieval.encoder import Encoder
from open_codesage.train.retrieval.signature import signature
from open_codesage.train.retrieval.task import held_out_search
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoModel, AutoTokenizer

WORDS = ("area", "book", "card", "door", "edge", "farm", "gate", "hall", "iron", "joke")
WORDS += ("king", "lamp", "mill", "note", "oven", "park", "quay", "road", "song", "tree")
MAX_LENGTH = 24


def row(word, unit, summary=None, language="python"):
    code = f"def f_{word}(x):\n    {word} = x + 1\n    return {word}"
    summary = summary or f"Return the {word} of a thing."
    origin = {"language": language, "path": f"{unit}/{word}.py", "licence": "MIT", "unit": unit}
    fields = {"name": f"f_{word}", "summary": summary, "documentation": summary, "code": code, "hard_positive": word}
    return {**fields, "start_line": 1, "end_line": 3, **origin}


def write_corpus(folder, rows, held_out=("held",)):
    with PartWriter(folder / "files", FILE_COLUMNS) as files:
        files.write({"text": "x = 1", "language": "python", "path": "a.py", "licence": "MIT", "unit": "train"})
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as functions:
        for each in rows:
            functions.write(each)
    (folder / "held_out.json").write_text(json.dumps({"units": held_out}))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rows = [row(word, "held") for word in WORDS]
    rows += [row("twin", "held", "Return the area of a thing."), row("area", "train"), row("seen", "train")]
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus", rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder as Stage I leaves it: a masked language model, random here, and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "stage1"
    texts = [f"{row(word, 'held')['code']} {row(word, 'held')['summary']}" for word in WORDS]
    tokenizer = train_tokenizer(texts, 400, MAX_LENGTH)
    torch.manual_seed(0)
    config = CodeSageConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.5,
    )
    CodeSageForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(model, *tasks, **settings):
    return EvaluateConfig(models=(str(model),), tasks=tuple(map(str, tasks)), **settings)


def figures(results, task="corpus", protocol="full", part="all"):
    """The figures of the only model, by metric."""
    chosen = {"task": task, "protocol": protocol, "part": part}
    return {row["metric"]: row["value"] for row in results["rows"] if chosen.items() <= row.items()}


def test_every_summary_is_a_query_and_every_held_out_function_a_document():
    summaries = ["Open a file.", "Close it.", "Open a file.", "close it."]
    task = held_out_search({"summary": summaries, "code": ["a", "b", "c", "d"], "language": ["python"] * 4})
    assert task.query_texts == ["Open a file.", "Close it.", "close it."]
    assert task.document_texts == ["a", "b", "c", "d"]
    assert task.relevant == ({0, 2}, {1}, {3})


def test_bm25_finds_functions_by_their_words(corpus, capsys):
    results = main(config("bm25", corpus))
    facts = results["tasks"]["corpus"]
    assert facts["queries"] == len(WORDS)
    assert facts["documents"] == len(WORDS) + 1  # not the two of the training split
    # Every query finds its word first; one has a second answer, without the word, that is seventh or so.
    assert figures(results)["mrr"] == 100.0
    assert 0 < figures(results)["map"] < 100.0
    assert "evaluate bm25 on corpus: full mrr 100.00, map 9" in capsys.readouterr().out


def test_the_figures_of_a_model_are_those_of_a_direct_computation(corpus, model):
    found = figures(main(config(model, corpus, batch_size=3)))
    tokenizer, encoder = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()

    def embed(text):
        tokens = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            states = encoder(**tokens).last_hidden_state[0]
        return torch.nn.functional.normalize(states.mean(0), dim=0)

    rows = [*(row(word, "held") for word in WORDS), row("twin", "held", "Return the area of a thing.")]
    documents = torch.stack([embed(each["code"]) for each in rows])
    reciprocal, recall = 0.0, 0.0
    for word in WORDS:
        query = f"Return the {word} of a thing."
        order = (documents @ embed(query)).argsort(descending=True).tolist()
        ranks = sorted(order.index(i) + 1 for i, each in enumerate(rows) if each["summary"] == query)
        reciprocal += 1 / ranks[0] / len(WORDS)
        recall += sum(rank <= 10 for rank in ranks) / len(ranks) / len(WORDS)
    assert found["mrr"] == pytest.approx(100 * reciprocal)
    assert found["recall@10"] == pytest.approx(100 * recall)
    assert 0.05 < reciprocal < 0.9  # neither nothing nor everything is found: the comparison says something


def test_a_sentence_transformer_folder_gives_the_figures_of_its_encoder(corpus, model, tmp_path):
    transformer = Transformer(str(model))
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling, Normalize()]).save(str(tmp_path / "stage2"))
    first, second = main(config(model, corpus)), main(config(tmp_path / "stage2", corpus))
    assert figures(first) == pytest.approx(figures(second))
    tokenizer = AutoTokenizer.from_pretrained(model)
    longer = [word for word in (*WORDS, "twin") if len(tokenizer(row(word, "")["code"])["input_ids"]) > MAX_LENGTH]
    assert longer == ["twin"]  # the tokenizer has not learnt this word
    assert first["runs"][0]["documents_cut"] == second["runs"][0]["documents_cut"] == 1
    shorter = main(config(model, corpus, max_length=4))
    assert figures(shorter) != pytest.approx(figures(first))
    assert shorter["runs"][0] | {"seconds": 0} == {
        "model": "stage1",
        "task": "corpus",
        "comments_removed": False,
        "query_max_length": 4,
        "document_max_length": 4,
        "queries_cut": len(WORDS),
        "documents_cut": len(WORDS) + 1,
        "seconds": 0,
    }


def test_a_model_is_measured_alone_and_fused_with_bm25_and_is_embedded_once(model, corpus, monkeypatch):
    embedded = []
    embed = Encoder.embed
    monkeypatch.setattr(Encoder, "embed", lambda self, texts, side: embedded.extend(texts) or embed(self, texts, side))
    results = main(EvaluateConfig(("bm25", str(model), f"bm25+{model}"), (str(corpus),)))
    assert list(results["models"]) == ["bm25", "stage1", "bm25 + stage1"]
    assert len({facts["hash"] for facts in results["models"].values()}) == 3
    assert len(embedded) == len(set(embedded))
    mrr = {row["model"]: row["value"] for row in results["rows"] if row["metric"] == "mrr"}
    assert mrr["bm25"] == 100.0
    assert mrr["stage1"] < mrr["bm25 + stage1"] <= 100.0
    with pytest.raises(ValueError, match="is given twice"):
        main(EvaluateConfig((f"bm25+{model}", f"bm25+{model}"), (str(corpus),)))


def test_results_are_written_to_a_new_folder(corpus, tmp_path, without_plots):
    settings = config("bm25", corpus, output=tmp_path / "figures", cutoff=3, depth=5)
    results = main(settings)
    assert json.loads((tmp_path / "figures" / "results.json").read_text()) == json.loads(json.dumps(results))
    assert "| bm25 | 100.00 |" in (tmp_path / "figures" / "results.md").read_text()
    assert {"recall@3", "ndcg@3"} <= figures(results).keys()
    assert results["settings"]["depth"] == 5
    assert not (tmp_path / "figures.run").exists()
    with pytest.raises(ValueError, match="figures is already there"):
        main(settings)


def write_search_set(folder, meta=None):
    """Functions as documents in two languages; every word is asked for as text."""
    folder.mkdir(parents=True)
    documents = [
        {
            "_id": f"{language}/{word}",
            "text": f"# about {word}, and more of the same\n{row(word, '')['code']}",
            "language": language,
        }
        for language in ("python", "ruby")
        for word in WORDS[:10]
    ]
    queries = [{"_id": word, "text": f"Return the {word}.", "language": "en"} for word in WORDS[:10]]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    lines = [f"{word}\t{language}/{word}\t1\n" for word in WORDS[:10] for language in ("python", "ruby")]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    (folder / "meta.json").write_text(json.dumps(meta or {"protocol": ["full", "pairwise"], "task": "nl2code"}))
    return folder


def write_classes(folder):
    folder.mkdir(parents=True)
    for part, words in (("train", WORDS), ("valid", WORDS[::2]), ("test", WORDS[1::2])):
        rows = [{"text": row(word, "")["code"] + " end" * n, "label": n} for word in words for n in (0, 1)]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return folder


@pytest.fixture
def without_plots(monkeypatch):
    monkeypatch.setattr(evaluate, "find_spec", lambda name: None)


@pytest.fixture
def sets(tmp_path):
    """A search set and a classification set beside each other."""
    write_search_set(tmp_path / "sets" / "search")
    write_classes(tmp_path / "sets" / "classes")
    return tmp_path / "sets"


def test_models_are_measured_side_by_side_on_all_sets_of_a_folder(sets, model, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "a" / "final")
    shutil.copytree(model, tmp_path / "b" / "final")
    models = ("bm25", str(tmp_path / "a" / "final"), str(tmp_path / "b" / "final"))
    results = main(EvaluateConfig(models=models, tasks=(str(sets),), output=tmp_path / "out", seeds=(0, 1)))
    assert list(results["models"]) == ["bm25", "a/final", "b/final"]
    rows = {
        tuple(row[key] for key in ("model", "task", "protocol", "part", "metric")): row["value"]
        for row in results["rows"]
    }
    assert len(rows) == len(results["rows"])  # no figure is given twice
    same = [{key[1:]: value for key, value in rows.items() if key[0] == name} for name in ("a/final", "b/final")]
    assert same[0] == same[1]
    assert rows["bm25", "search", "pairwise", "en-ruby", "mrr"] == 100
    assert rows["bm25", "search", "full", "all", "recall@1"] == 50  # one of two answers
    assert rows["bm25", "classes", "words", "all", "macro_f1"] == 100
    assert {key[2:] for key in rows if key[:2] == ("a/final", "classes")} == {
        ("linear", "all", metric) for metric in ("macro_f1", "macro_f1 sd", "accuracy", "accuracy sd")
    }
    assert {(entry["model"], entry["task"]) for entry in results["cosines"]} == {
        ("a/final", "search"),
        ("b/final", "search"),
    }
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"results.json", "results.md", "recall.png", "cosines-search.png"} <= written
    assert "| a/final, linear layer on the frozen encoder |" in (tmp_path / "out" / "results.md").read_text()
    assert "20 documents were longer than their limit and cut" in capsys.readouterr().out


def test_every_field_of_the_results_is_documented(sets, model):
    page = (Path(__file__).parents[2] / "docs" / "commands" / "evaluate.md").read_text(encoding="utf-8")
    results = main(config(model, sets, remove_comments=True))
    fields = set(results)
    for name in ("rows", "runs", "cosines"):
        fields |= {field for entry in results[name] for field in entry}
    for name in ("models", "tasks"):
        fields |= {field for entry in results[name].values() for field in entry}
    fields |= {field for part in results["tasks"]["search"]["parts"]["full"].values() for field in part}
    assert len(fields) > 30
    assert not {field for field in fields if f"`{field}`" not in page}


def test_an_interrupted_run_goes_on_with_what_is_missing(sets, model, tmp_path, monkeypatch, without_plots):
    settings = config(model, sets, output=tmp_path / "out", seeds=(0,))
    encode, encoded = SentenceTransformer.encode, []

    def counted(self, *arguments, **options):
        encoded.append(len(options["inputs"] if "inputs" in options else arguments[0]))
        return encode(self, *arguments, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    with monkeypatch.context() as stopped:
        stopped.setattr(measure, "measure_task", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(settings)
    once = sum(encoded)
    assert once == (40 + 20 + 20) + (10 + 20)  # the parts of the classes; queries and documents
    assert (tmp_path / "out.run").is_dir()
    encoded.clear()
    results = main(settings)
    assert encoded == []  # nothing is embedded again
    assert not (tmp_path / "out.run").exists()
    fresh = main(dataclasses.replace(settings, output=None))
    assert fresh["rows"] == results["rows"]
    assert sum(encoded) == once


def _interrupt(*_):
    raise KeyboardInterrupt


def test_a_cache_that_is_named_is_used_again_and_kept(sets, model, tmp_path, monkeypatch, without_plots):
    settings = config(model, sets / "search", output=tmp_path / "one", cache=tmp_path / "cache")
    first = main(settings)
    monkeypatch.setattr(SentenceTransformer, "encode", _interrupt)
    second = main(dataclasses.replace(settings, output=tmp_path / "two", cutoff=3))
    assert figures(second, "search")["mrr"] == figures(first, "search")["mrr"]
    assert any((tmp_path / "cache").glob("*.npy"))


def test_a_preset_caps_at_what_a_model_takes_and_removes_comments_of_code(sets, model, tmp_path):
    shutil.copytree(sets / "search", tmp_path / "asked-with-code")
    meta = {"task": "code2code", "protocol": "full"}
    (tmp_path / "asked-with-code" / "meta.json").write_text(json.dumps(meta))
    results = main(config(model, sets / "search", tmp_path / "asked-with-code", preset="paper"))
    text, code = results["runs"]
    assert (text["query_max_length"], text["document_max_length"]) == (MAX_LENGTH, MAX_LENGTH)
    assert (text["comments_removed"], code["comments_removed"]) == (False, True)
    assert code["documents_cut"] < text["documents_cut"]  # the comments made them longer
    assert code["unparsable"] == code["without_grammar"] == 0


def test_tasks_of_mteb_are_left_to_that_library(model, monkeypatch, capsys):
    metadata = SimpleNamespace(dataset={"path": "user/set", "revision": "abc"}, type="Retrieval", main_score="mrr")

    def measured(task, opened, batch_size):
        assert (task.name, opened.max_seq_length, batch_size) == ("Search", 20, 3)
        return {"mteb": {"all": {"mrr": 12.5}}}, {"mteb": "2.0"}

    monkeypatch.setattr(mteb_tasks, "find_mteb", lambda name: SimpleNamespace(name=name, metadata=metadata))
    monkeypatch.setattr(mteb_tasks, "measure_mteb", measured)
    settings = config(model, "mteb:Search", max_length=20, batch_size=3)
    results = main(dataclasses.replace(settings, models=("bm25", str(model))))
    assert [(row["model"], row["protocol"], row["value"]) for row in results["rows"]] == [("stage1", "mteb", 12.5)]
    assert results["tasks"]["mteb:Search"]["hash"] == "abc"
    assert "bm25 on mteb:Search: left out, since mteb measures models only" in capsys.readouterr().out


def test_a_model_without_a_pooling_is_named(corpus, model, tmp_path):
    SentenceTransformer(modules=[Transformer(str(model))]).save(str(tmp_path / "tokens"))
    with pytest.raises(ValueError, match=r"tokens on corpus: the model gives states of tokens .* add the module"):
        main(config(tmp_path / "tokens", corpus))


def test_without_matplotlib_there_are_figures_and_no_plots(corpus, tmp_path, capsys, without_plots):
    main(config("bm25", corpus, output=tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.md"}
    assert "no plots, since matplotlib is not installed" in capsys.readouterr().out


def test_a_collapsed_model_has_the_figures_of_chance(corpus, model, tmp_path):
    """All embeddings equal: the order of the documents decides, so the mean is that of 1/1, 1/2, 1/3 …"""
    collapsed = CodeSageForMaskedLM.from_pretrained(model)
    with torch.no_grad():
        for parameter in collapsed.transformer.parameters():
            parameter.zero_()
        collapsed.transformer.ln_f.bias.fill_(1.0)
    collapsed.save_pretrained(tmp_path / "collapsed")
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "collapsed")
    assert figures(main(config(tmp_path / "collapsed", corpus)))["mrr"] == pytest.approx(
        100 * math.fsum(1 / rank for rank in range(1, 21)) / 20
    )


def test_languages_are_selected(tmp_path):
    rows = [row("area", "held"), row("book", "held", language="java"), row("card", "train")]
    corpus = write_corpus(tmp_path / "corpus", rows)

    def documents(*languages):
        return main(config("bm25", corpus, languages=languages))["tasks"]["corpus"]["documents"]

    assert [documents("java"), documents("Python"), documents()] == [1, 1, 2]
    with pytest.raises(ValueError, match="have no klingon: choose among java, python"):
        documents("klingon")


def test_a_corpus_without_held_out_functions_is_an_error(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", [row("area", "train")])
    with pytest.raises(ValueError, match=r"no function of .* is held out: write the corpus again"):
        main(config("bm25", corpus))
    with pytest.raises(ValueError, match=r"there is no task .*nowhere"):
        main(config("bm25", tmp_path / "nowhere"))


def test_a_model_that_can_not_be_opened_is_named(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"model .*nowhere: There is no such folder"):
        main(config(tmp_path / "nowhere", corpus))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not a folder with model weights in safetensors files"):
        main(config(tmp_path / "empty", corpus))


def test_weights_in_a_pickle_are_refused(corpus, model, tmp_path):
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "pickled")
    encoder = AutoModel.from_pretrained(model)
    encoder.config.save_pretrained(tmp_path / "pickled")
    torch.save(encoder.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle.*convert it to safetensors"):
        main(config(tmp_path / "pickled", corpus))


def test_an_input_longer_than_the_model_takes_is_an_error(corpus, model):
    with pytest.raises(ValueError, match=f"max_length is 25, but .* takes at most {MAX_LENGTH} tokens"):
        main(config(model, corpus, max_length=MAX_LENGTH + 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
        ({"cutoff": 20, "depth": 10}, "cutoff is 20, beyond the depth of 10"),
    ],
)
def test_settings_that_make_no_sense_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        config("bm25", "corpus", **settings)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(a, b=(1, 2)):\n    return a", "def f(a, b=(1, 2))"),
        (
            "async def fetch(\n    url: str,\n    *,\n    limit: int = 3,\n) -> str:\n    return url",
            "async def fetch( url: str, *, limit: int = 3, ) -> str",
        ),
        ('@cache\n@mark.parametrize("x", [\n    1,\n])\ndef f(x):\n    pass', "def f(x)"),
        ("public static int f(int a) {\n    return a;\n}", "public static int f(int a)"),
        ("@Override\npublic int size() { return n; }", "public int size()"),
        ("@Override public int size() { return n; }", "@Override public int size()"),
        ("", ""),
    ],
)
def test_a_signature_is_one_line_without_the_body(code, expected):
    assert signature(code) == expected


def test_figures_that_differ_from_the_expected_ones_are_named(sets, model, tmp_path, capsys, without_plots):
    main(config(model, sets / "search", output=tmp_path / "first"))
    record = tmp_path / "first" / "results.json"
    capsys.readouterr()
    main(config(model, sets / "search", expected=record, batch_size=2))
    assert "figures agree with the expected ones, to 0.000 points" in capsys.readouterr().out

    changed = json.loads(record.read_text())
    row = next(row for row in changed["rows"] if row["metric"] == "mrr")
    row["value"] += 0.3
    record.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"1 figures differ by more than 0.2 points: .* mrr: .* expected"):
        main(config(model, sets / "search", expected=record))
    main(config(model, sets / "search", expected=record, tolerance=0.4))

    with pytest.raises(ValueError, match="max_length was None, is 8"):
        main(config(model, sets / "search", expected=record, max_length=8))
    with pytest.raises(ValueError, match="none of the expected figures was measured"):
        main(config(model, sets / "classes", expected=record))
    record.write_text("{}")
    with pytest.raises(ValueError, match=r"is no results\.json"):
        main(config(model, sets / "search", expected=record))
