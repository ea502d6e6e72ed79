"""A checkpoint in the layout of the authors' Hub repositories; the tests take it with `runpy.run_path`."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

GOLDEN = Path(__file__).parents[1] / "fixtures" / "codesage-tiny"
END = "<|endoftext|>"
STARCODER = [
    END,
    *(f"<fim_{part}>" for part in ("prefix", "middle", "suffix", "pad")),
    *("<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>"),
    *(f"<jupyter_{part}>" for part in ("start", "text", "code", "output")),
    *("<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>"),
]
# 19 special tokens, 256 bytes and these make the 298 that leave room for <mask> and <pad>, the last of golden's 300.
MERGES = [
    ("Ġ", "Ġ"),
    ("ĠĠ", "ĠĠ"),
    ("ĠĠĠĠ", "ĠĠĠĠ"),
    ("Ċ", "ĠĠĠĠ"),
    ("č", "Ċ"),
    ("r", "e"),
    ("re", "t"),
    ("u", "r"),
    ("ret", "ur"),
    ("retur", "n"),
    ("Ġ", "retur"),
    ("Ġretur", "n"),
    ("Ġ", "="),
    ("ð", "Ł"),
    ("ðŁ", "Ļ"),
    ("d", "e"),
    ("de", "f"),
    ("Ġ", "a"),
    ("_", "_"),
    ("Ċ", "Ċ"),
    ("'", "s"),
    ("e", "n"),
    ("Ġ", "x"),
]


def published(folder: Path, prefix: str = "", head: bool = False, shards: int = 0, safetensors: bool = False) -> Path:
    """Write the golden weights and a small StarCoder-like tokenizer as the authors publish theirs."""
    folder.mkdir()
    golden = json.loads((GOLDEN / "config.json").read_text())
    for key in ("_comment", "model_type", "bos_token_id", "eos_token_id", "pad_token_id", "position_embedding_type"):
        del golden[key]
    code = {"AutoConfig": "config_codesage.CodeSageConfig", "AutoModel": "modeling_codesage.CodeSageModel"}
    write(folder / "config.json", {"_name_or_path": "codesage/codesage-tiny", **golden, "auto_map": code})
    _write_weights(folder, prefix, head, shards, safetensors)

    pieces = [*STARCODER, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in MERGES)]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    assert len(vocab) == 298
    write(folder / "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write(folder / "added_tokens.json", {"<mask>": 298, "<pad>": 299})
    names = {
        "additional_special_tokens": STARCODER,
        **{f"{role}_token": END for role in ("bos", "eos", "unk")},
    }
    write(folder / "special_tokens_map.json", {**names, "mask_token": "<mask>", "pad_token": "<pad>"})
    own = {"tokenizer_class": "CodeSageTokenizer", "add_prefix_space": False, "add_eos_token": True}
    auto = {"auto_map": {"AutoTokenizer": ["tokenization_codesage.CodeSageTokenizer", None]}}
    write(folder / "tokenizer_config.json", {**names, **own, **auto, "model_max_length": 10**30, "vocab_size": 49152})

    fast = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
    digits = pre_tokenizers.Digits(individual_digits=True)
    fast.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    fast.decoder = decoders.ByteLevel()
    fast.save(str(folder / "tokenizer.json"))

    metadata = "license: apache-2.0\ndatasets:\n- bigcode/the-stack-dedup\nlanguage:\n- code\n"
    (folder / "README.md").write_text(f"---\n{metadata}---\n## CodeSage\n", encoding="utf-8")
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write(
        folder / "modules.json",
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
    )
    for name in ("config", "modeling", "tokenization"):
        (folder / f"{name}_codesage.py").write_text("raise SystemExit('code of the checkpoint has run')\n")
    return folder


def _write_weights(folder, prefix, head, shards, safetensors):
    weights = load_file(GOLDEN / "model.safetensors")
    if head:
        weights["lm_head.weight"] = weights["wte.weight"].clone()
    named = {name if name == "lm_head.weight" else prefix + name: tensor for name, tensor in weights.items()}
    if safetensors:
        shutil.copy(GOLDEN / "model.safetensors", folder)
    elif not shards:
        torch.save(named, folder / "pytorch_model.bin")
    else:
        files = {name: f"pytorch_model-{1 + number % shards:05}.bin" for number, name in enumerate(named)}
        for file in set(files.values()):
            torch.save({name: named[name] for name in named if files[name] == file}, folder / file)
        write(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": files})


def write(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
