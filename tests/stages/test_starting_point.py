"""What Stage II and fine-tuning keep of the model that they start from, and what they refuse."""

import json
import runpy
from pathlib import Path

import pytest
from open_codesage.train.stages.data.batches import PairCollator
from open_codesage.train.stages.starting_point import open_starting_point
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tiny_encoders.py"))
PROMPTS = {"query": "find: ", "document": "code: "}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return tiny["write"]("roberta", tmp_path_factory.mktemp("roberta") / "bare", ["def find(code): return code"])


@pytest.fixture(scope="module")
def cls(bare):
    """A SentenceTransformer with what is not usual: the state of the first token, prompts, and no normalization."""
    transformer = Transformer(str(bare))
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), "cls")]
    SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu").save(str(bare.with_name("cls")))
    return bare.with_name("cls")


def test_a_bare_encoder_gets_the_mean_or_what_is_asked_for(bare):
    start = open_starting_point(bare, None, 16, 32)
    assert [type(module).__name__ for module in start.model] == ["Transformer", "Pooling", "Normalize"]
    assert start.model[1].pooling_mode == "mean"
    assert "pooling mean" in start.told
    assert open_starting_point(bare, "cls", 16, 32).model[1].pooling_mode == "cls"


def test_what_a_sentence_transformer_says_of_itself_is_kept_and_said(cls, tmp_path):
    start = open_starting_point(cls, None, 16, 32)
    assert start.model[1].pooling_mode == "cls"
    assert (start.text_prompt, start.code_prompt) == ("find: ", "code: ")
    assert start.model.max_seq_length == 32
    for word in ("kept of", "pooling cls", "query 'find: '", "document 'code: '", "added: normalization", "32 tokens"):
        assert word in start.told
    start.model.save(str(tmp_path / "trained"))
    written = json.loads((tmp_path / "trained" / "config_sentence_transformers.json").read_text())
    assert PROMPTS.items() <= written["prompts"].items()
    assert SentenceTransformer(str(tmp_path / "trained"), device="cpu")[1].pooling_mode == "cls"


def test_prompts_stand_before_what_is_learnt(cls):
    start = open_starting_point(cls, None, 16, 32)
    seen = []

    def preprocess(texts, **options):
        seen.append(texts)
        return {}

    collate = PairCollator(
        preprocess, 16, 32, hard_positive_share=0.0, text_prompt=start.text_prompt, code_prompt=start.code_prompt
    )
    collate([{"summary": "find it", "code": "def f(): pass", "language": "python"}])
    assert seen == [["find: find it"], ["code: def f(): pass"]]


def test_settings_that_contradict_the_model_are_refused(cls, bare):
    with pytest.raises(ValueError, match="trained with pooling cls, not mean"):
        open_starting_point(cls, "mean", 16, 32)
    # RoBERTa's positions begin behind that of padding: of 50 there are 48 for tokens.
    open_starting_point(bare, None, 16, tiny["LENGTH"])
    with pytest.raises(ValueError, match="at most 48"):
        open_starting_point(bare, None, 16, tiny["LENGTH"] + 1)
