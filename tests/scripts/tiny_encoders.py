"""Tiny encoders of the architectures people start from, with tokenizers of their kinds, trained in memory.

Tests take them with `runpy.run_path`.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DebertaV2Config,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

LENGTH = 48
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wordpiece(texts: list[str]) -> PreTrainedTokenizerFast:
    """The lower-casing WordPiece of BERT, MiniLM and MPNet."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(BERT), show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _wrap(tokenizer, BERT, ["input_ids", "token_type_ids", "attention_mask"])


def unigram(texts: list[str]) -> PreTrainedTokenizerFast:
    """The Unigram of DeBERTa-v2, which writes a space before a word into its token."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=list(BERT), unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _wrap(tokenizer, BERT, ["input_ids", "token_type_ids", "attention_mask"])


def byte_level(texts: list[str]) -> PreTrainedTokenizerFast:
    """The byte-level BPE of RoBERTa and ModernBERT, whose tokens may join a bracket and an underscore."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(ROBERTA),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return _wrap(tokenizer, ROBERTA, ["input_ids", "attention_mask"])


def _wrap(tokenizer: Tokenizer, special: tuple[str, ...], inputs: list[str]) -> PreTrainedTokenizerFast:
    names = ("bos", "pad", "eos", "unk", "mask") if special is ROBERTA else ("pad", "unk", "cls", "sep", "mask")
    roles = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    if special is ROBERTA:
        roles |= {"cls_token": "<s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH, model_input_names=inputs, **roles
    )


ARCHITECTURES = {
    "bert": (BertConfig, wordpiece, {"max_position_embeddings": LENGTH}),
    "roberta": (RobertaConfig, byte_level, {"max_position_embeddings": LENGTH + 2, "type_vocab_size": 1}),
    "modernbert": (
        ModernBertConfig,
        byte_level,
        # A layer with global attention and one with local.
        {
            "max_position_embeddings": LENGTH,
            "num_hidden_layers": 2,
            "global_attn_every_n_layers": 2,
            "local_attention": 16,
        },
    ),
    "mpnet": (MPNetConfig, wordpiece, {"max_position_embeddings": LENGTH + 2}),
    "deberta-v2": (
        DebertaV2Config,
        unigram,
        {"max_position_embeddings": LENGTH, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
}
"""By model type: the config class, what trains its tokenizer, and sizes."""


def write(kind: str, folder: Path, texts: list[str]) -> Path:
    """Write a new masked LM of an architecture and its tokenizer."""
    make, train, sizes = ARCHITECTURES[kind]
    tokenizer = train(texts)
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    if kind == "modernbert":
        ids |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    torch.manual_seed(0)
    config = make(vocab_size=len(tokenizer), initializer_range=0.2, **(SIZES | sizes | ids))
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_pickled(kind: str, folder: Path, texts: list[str]) -> Path:
    """Write the same with its weights in a pickle, as older models have them."""
    write(kind, folder, texts)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder
