"""Evaluation measures the search among held-out functions, for BM25 and for models in both kinds of folders."""

import json
import math

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train.data.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, PartWriter
from open_codesage.train.evaluation.evaluate import EvaluateConfig, main
from open_codesage.train.evaluation.retrieval import held_out_search
from open_codesage.train.evaluation.signature import signature
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
    task = held_out_search({"summary": summaries, "code": ["a", "b", "c", "d"]})
    assert task.queries == ["Open a file.", "Close it.", "close it."]
    assert task.documents == ["a", "b", "c", "d"]
    assert task.relevant == [{0, 2}, {1}, {3}]


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


def test_results_are_written_to_a_new_folder(corpus, tmp_path):
    settings = config("bm25", corpus, output=tmp_path / "figures", cutoff=3, depth=5)
    results = main(settings)
    assert json.loads((tmp_path / "figures" / "results.json").read_text()) == json.loads(json.dumps(results))
    assert "| bm25 | 100.00 |" in (tmp_path / "figures" / "results.md").read_text()
    assert {"recall@3", "ndcg@3"} <= figures(results).keys()
    assert results["settings"]["depth"] == 5
    assert not (tmp_path / "figures.run").exists()
    with pytest.raises(ValueError, match="figures is already there"):
        main(settings)


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
        ({"batch_size": 0}, "batch_size is 0: give 1 or more"),
        ({"max_length": 0}, "max_length is 0"),
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
