"""A small tree, and models small enough to be made for a test."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from open_codesage.train.search import index
from open_codesage.train.search.index import Index
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

TREE = Path(__file__).parents[1] / "fixtures" / "search"
CONFIG = {"model_type": "codesage", "num_hidden_layers": 0, "hidden_size": 16, "num_attention_heads": 2}
END = "<|endoftext|>"


def make_model(folder, seed=0):
    """A model without blocks, made without the libraries that take seconds to open."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([path.read_text() for path in sorted(TREE.rglob("*.*"))], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 0)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    draw = np.random.default_rng(seed)
    shapes = {"wte.weight": (tokenizer.get_vocab_size(), 16), "wpe.weight": (64, 16)}
    save_file(
        {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64}))
    return str(folder)


@pytest.fixture
def real_workers():
    """Asks for worker processes, as users have them."""


@pytest.fixture(autouse=True)
def parsed_here(request, monkeypatch):
    """Parses in this process, where a test does not ask for workers: starting them takes longer than all else."""
    if "real_workers" not in request.fixturenames:

        def map_here(function, batches, *_):
            return (function(item) for batch in batches for item in batch)

        monkeypatch.setattr(index, "map_in_workers", map_here)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model without blocks."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory):
    """A model without blocks, with other weights."""
    return make_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture
def tree(tmp_path):
    return Path(shutil.copytree(TREE, tmp_path / "tree"))


@pytest.fixture
def opened(tree, model):
    """Opens the index of the tree, or of another."""

    def open_index(root=tree, encoder=model, **options):
        return Index.open(root, encoder, **{"folder": tree.parent / "index", "workers": 1, **options})

    return open_index


@pytest.fixture
def updated(opened):
    """Updates the index of the tree, or of another; returns what the update has done."""

    def update(*arguments, **options):
        with opened(*arguments, **options) as index:
            return index.update()

    return update
