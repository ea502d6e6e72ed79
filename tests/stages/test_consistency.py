"""The consistency filter: ranks against a direct computation, what stays, interruptions, and what it leaves alone."""

import json
from pathlib import Path

import pytest
import torch
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter
from open_codesage.train.retrieval import encoder
from open_codesage.train.stages import consistency
from open_codesage.train.stages.configs import ConsistencyConfig
from open_codesage.train.stages.consistency import main, rank_own

PAIRS = 40
WRONG = (7, 23)


class WordEncoder:
    """Embeds a text as its words: a pair is near when its summary and its code share their rare word."""

    embedded = 0

    def __init__(self, model, batch_size, max_length):
        pass

    def queries(self, texts):
        WordEncoder.embedded += len(texts)
        vectors = torch.zeros(len(texts), PAIRS + 1)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, int(word[4:]) if word.startswith("word") else PAIRS] += 1
        return vectors

    documents = queries


def write_corpus(folder: Path) -> Path:
    with PartWriter(folder / "files", FILE_COLUMNS) as files:
        files.write({"text": "x", "language": "python", "path": "a", "licence": "MIT", "unit": "u"})
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as functions:
        for i in range(PAIRS + 5):
            word = f"word{i % PAIRS}"
            summary = "wrong text" if i in WRONG else f"{word} it"
            origin = {"path": "a", "licence": "MIT", "unit": "held" if i >= PAIRS else "u"}
            row = {
                "name": word,
                "summary": summary,
                "documentation": summary,
                "code": f"{word} x",
                "hard_positive": "x",
            }
            functions.write({**row, "start_line": i, "end_line": i, "language": ("go", "python")[i % 2], **origin})
    (folder / "held_out.json").write_text(json.dumps({"units": ["held"]}))
    (folder / "report.json").write_text(json.dumps({"kept": True}))
    return folder


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "Encoder", WordEncoder)
    monkeypatch.setattr(consistency, "_BLOCK", 16)
    monkeypatch.setattr(consistency, "_RIVALS", 8)
    WordEncoder.embedded = 0
    return write_corpus(tmp_path / "corpus")


@pytest.mark.parametrize("size", [5, 30])
def test_ranks_are_those_of_a_direct_computation(size, monkeypatch):
    monkeypatch.setattr(consistency, "_RIVALS", 7)
    torch.manual_seed(0)
    texts, codes = torch.randn(30, 6), torch.randn(30, 6)
    codes[4], codes[9] = codes[3], 2 * texts[9]
    numbers = torch.randperm(30)[:size].sort().values
    places = torch.searchsorted(numbers, torch.arange(30))
    ranks = rank_own(texts, codes, codes[numbers], places.numpy(), numbers.numpy(), range(30))
    for i, rank in enumerate(ranks):
        cosines = {j: torch.cosine_similarity(texts[i], codes[j], dim=0).item() for j in {i, *numbers.tolist()}}
        assert rank == sum(cosine >= cosines[i] - 1e-6 for cosine in cosines.values())
    assert ranks[9] == 1
    assert len(set(ranks)) > 3


def test_pairs_that_can_not_be_found_again_go_and_nothing_else(corpus, tmp_path):
    main(ConsistencyConfig(corpus, "model", tmp_path / "out", top_k=3))
    before, after = Corpus(corpus), Corpus(tmp_path / "out")
    kept = after.functions("train")["start_line"]
    assert list(kept) == [i for i in range(PAIRS) if i not in WRONG]
    assert after.functions("held_out")[:] == before.functions("held_out")[:]
    assert after.files("train")[:] == before.files("train")[:]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["kept"] is True
    assert report["consistency"]["languages"] == {
        "go": {"pairs": 20, "kept": 20},
        "python": {"pairs": 20, "kept": 18},
    }
    assert not (tmp_path / "out.run").exists()


def test_the_sample_bounds_the_number_of_rivals(corpus, tmp_path):
    main(ConsistencyConfig(corpus, "model", tmp_path / "out", top_k=3, sample=2))
    assert len(Corpus(tmp_path / "out").functions("train")) == PAIRS  # Two rivals never push a function below rank 3.


def test_an_interrupted_run_goes_on_after_the_last_whole_block(corpus, tmp_path, monkeypatch):
    main(ConsistencyConfig(corpus, "model", tmp_path / "whole", top_k=3))
    in_one_go, WordEncoder.embedded = WordEncoder.embedded, 0
    rank, calls = consistency.rank_own, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return rank(*arguments)

    config = ConsistencyConfig(corpus, "model", tmp_path / "out", top_k=3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(consistency, "rank_own", interrupted)
        main(config)
    assert not (tmp_path / "out").exists()
    WordEncoder.embedded = 0
    main(config)
    assert WordEncoder.embedded == in_one_go - 2 * 2 * 16  # Summaries and functions of two blocks of 16.
    assert Corpus(tmp_path / "out").functions("train")[:] == Corpus(tmp_path / "whole").functions("train")[:]


def test_ranks_found_under_other_settings_are_not_used(corpus, tmp_path, monkeypatch):
    config = ConsistencyConfig(corpus, "model", tmp_path / "out", sample=10)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(consistency, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        main(config)
    WordEncoder.embedded = 0
    main(ConsistencyConfig(corpus, "model", tmp_path / "out", sample=20))
    assert WordEncoder.embedded == 20 + 2 * PAIRS


def test_a_model_that_finds_nothing_is_an_error_that_leaves_no_folder(corpus, tmp_path):
    class Blind(WordEncoder):
        def queries(self, texts):
            return torch.ones(len(texts), 3)

        documents = queries

    encoder.Encoder = Blind
    with pytest.raises(ValueError, match="none of 40 pairs is consistent: train model longer"):
        main(ConsistencyConfig(corpus, "model", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="top_k must be at least 1, not 0"):
        ConsistencyConfig(corpus, "model", tmp_path / "out", top_k=0)
