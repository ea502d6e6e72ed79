"""The library mteb gives our figures on our sets, and figures of its own tasks under our names."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from open_codesage.train.evaluation import mteb_tasks
from open_codesage.train.evaluation.mteb_tasks import PROTOCOL, as_mteb, find_mteb, measure_mteb
from open_codesage.train.evaluation.tasks import read_task
from open_codesage.train.retrieval.encoder import Encoder, open_sentence_model
from open_codesage.train.retrieval.protocols import EmbeddingRanker, measure_task

mteb = pytest.importorskip("mteb")

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "finetune_tiny.py"))
# The library removes white space at the ends of documents, which would make other texts of them.
ROWS = [row | {"code": row["code"].strip()} for row in tiny["rows"]()[:48]]
LANGUAGES = ("go", "emacs-lisp")
SHARED = ("mrr", "map", "ndcg@10", "recall@1", "recall@10", "recall@100")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_sentence_model(str(tiny["base"](tmp_path_factory.mktemp("base") / "model")))


def beir(folder, queries, documents, meta):
    """A search set in which what has the same verb answers, so there are several answers each."""
    folder.mkdir()
    for name, texts in (("queries", queries), ("corpus", documents)):
        tiny["write_rows"](folder / f"{name}.jsonl", texts)
    judged = [
        f"{query['_id']}\t{document['_id']}\t1"
        for query, one in zip(queries, ROWS, strict=True)
        for document, other in zip(documents, ROWS, strict=True)
        if one["label"] == other["label"]
    ]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    (folder / "meta.json").write_text(json.dumps(meta))
    return read_task(folder)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Functions by a text, in two languages."""
    queries = [{"_id": f"q{n}", "text": row["text"], "language": LANGUAGES[n % 2]} for n, row in enumerate(ROWS)]
    documents = [{"_id": f"d{n}", "text": row["code"], "language": LANGUAGES[n // 2 % 2]} for n, row in enumerate(ROWS)]
    meta = {"protocol": ["full", "pairwise"], "task": "nl2code"}
    return beir(tmp_path_factory.mktemp("search") / "verbs", queries, documents, meta)


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """Functions by functions; each is left out of its own ranking."""
    texts = [{"_id": f"d{n}", "text": row["code"]} for n, row in enumerate(ROWS)]
    return beir(tmp_path_factory.mktemp("clones") / "clones", texts, texts, {"exclude_self": True})


def ours(task, model):
    encoder = Encoder(model, 16, show_progress=False)
    queries, documents = ([text.text for text in texts] for texts in (task.queries, task.documents))
    return measure_task(task, EmbeddingRanker(encoder.embed(queries, "query"), encoder.embed(documents, "document")))


@pytest.mark.parametrize("protocol", ["full", "pairwise"])
def test_the_library_gives_our_figures_on_our_set_by_every_protocol(search, model, protocol):
    expected = ours(search, model)[protocol]
    figures, facts = measure_mteb(as_mteb(search, protocol), model, 16)
    found = figures[PROTOCOL]
    assert set(found) == set(expected)
    assert len(found) == {"full": 1, "pairwise": 5}[protocol]
    for part, by_metric in expected.items():
        # The library rounds.
        assert {name: found[part][name] for name in SHARED} == pytest.approx(
            {name: by_metric[name] for name in SHARED}, abs=2e-3
        )
    assert 1 < found["all"]["map"] < 99
    assert facts["revision"] == search.hash
    assert facts["main_score"] == "ndcg_at_10"


def test_a_query_s_own_document_is_left_out_by_both(clones, model):
    expected = ours(clones, model)["full"]["all"]
    figures, _ = measure_mteb(as_mteb(clones), model, 16)
    found = figures[PROTOCOL]["all"]
    assert {name: found[name] for name in SHARED} == pytest.approx({name: expected[name] for name in SHARED}, abs=2e-3)
    # Its own document would be first, and an answer.
    assert found["recall@1"] < expected["recall@10"]
    assert found["mrr"] < 99


def test_a_task_of_the_leaderboard_is_measured_by_its_name(search, model, monkeypatch):
    """CosQA, with our texts in place of the Hub's."""
    kind = type(mteb.get_task("CosQA"))
    made = as_mteb(search)

    def load(self, *arguments, **options):
        self.dataset, self.data_loaded = made.dataset, True

    monkeypatch.setattr(kind, "load_data", load)
    figures, facts = measure_mteb(find_mteb("CosQA"), model, 16)
    assert facts["dataset"] == "CoIR-Retrieval/cosqa"
    expected = ours(search, model)["full"]["all"]
    assert figures[PROTOCOL]["all"]["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=2e-3)


def test_figures_of_other_kinds_of_tasks_keep_their_main_score():
    entry = {"hf_subset": "default", "accuracy": 0.5, "f1": 0.25, "cosine_spearman": 0.125}
    assert mteb_tasks._figures(entry, "accuracy", search=False) == {"macro_f1": 25.0, "accuracy": 50.0}
    assert mteb_tasks._figures(entry, "cosine_spearman", search=True) == {"macro_f1": 25.0, "cosine_spearman": 12.5}


def test_what_can_not_be_found_is_named():
    with pytest.raises(ValueError, match=r"mteb has no task CosQAs: .*CosQA"):
        find_mteb("CosQAs")
    with pytest.raises(ValueError, match=r"CosQA \(CoIR-Retrieval/cosqa\) cannot be fetched, which needs a Hub"):
        find_mteb("CosQA")


def test_the_library_is_named_where_it_lacks(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    for ask in (lambda: as_mteb(search), lambda: find_mteb("CosQA")):
        with pytest.raises(ValueError, match=r'pip install "open-codesage\[mteb\]"'):
            ask()
