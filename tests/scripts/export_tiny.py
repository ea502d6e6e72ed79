"""Tiny model folders in the layouts of both stages; the tests of the release take them with `runpy.run_path`."""

from pathlib import Path

import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.tokenization.tokenizer import train_tokenizer
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

POSITIONS = 96
MAX_LENGTH = 64


def stage_one(folder: Path, seed: int = 0, **config) -> Path:
    """Write what `pretrain` writes: a masked LM and its tokenizer."""
    tokenizer = train_tokenizer([Path(__file__).read_text(encoding="utf-8")], 300, MAX_LENGTH)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id,
        # Wide weights: embeddings of different texts are far apart, so that a wrong one cannot pass for a right one.
        "initializer_range": 0.3,
    }
    torch.manual_seed(seed)
    CodeSageForMaskedLM(CodeSageConfig(**(sizes | config))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def stage_two(folder: Path, first: Path, pooling: str = "mean", **options) -> Path:
    """Write what `contrast` writes: encoder, pooling and normalisation of sentence-transformers."""
    encoder = Transformer(str(first))
    modules = [encoder, Pooling(encoder.get_embedding_dimension(), pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder))
    return folder
