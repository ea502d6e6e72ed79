"""Tiny models, built in memory, for every test of this folder."""

import os
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel

os.environ["HF_HUB_OFFLINE"] = "1"

IMPLEMENTATIONS = ("sdpa", "eager")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def golden_folder():
    return Path(__file__).parents[1] / "fixtures" / "codesage-tiny"


@pytest.fixture
def config():
    """No dropout, and weights large enough that every token matters to its neighbours."""
    return CodeSageConfig(
        vocab_size=50,
        max_position_embeddings=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=2,
        initializer_range=0.3,
        residual_dropout_prob=0.0,
        embedding_dropout_prob=0.0,
        attention_dropout_prob=0.0,
    )


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    return request.param


@pytest.fixture
def build(config):
    """Build a model of a class by an attention implementation, each with a configuration of its own."""

    def build(implementation, cls=CodeSageModel, weights=None):
        model = cls._from_config(deepcopy(config), attn_implementation=implementation)
        if weights is not None:
            model.load_state_dict(weights.state_dict())
        return model.eval()

    return build


@pytest.fixture
def model(build, implementation):
    return build(implementation)


@pytest.fixture
def batch():
    """Four rows of 12: full, right-padded, left-padded, one token."""
    ids = torch.randint(3, 50, (4, 12))
    mask = torch.ones(4, 12, dtype=torch.long)
    mask[1, 5:] = 0
    mask[2, :7] = 0
    mask[3, 1:] = 0
    return ids, mask
