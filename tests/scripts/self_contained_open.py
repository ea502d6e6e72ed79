"""Another user without the package, later: `self_contained_open.py BASE RESULT OURS`.

Opens what self_contained_save.py has saved and pushed, and the folders in OURS that `finetune` has written, by every
way that their libraries offer, and writes what they give to RESULT/opened.npz, under KIND.FOLDER.WAY.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from peft import AutoPeftModelForFeatureExtraction, AutoPeftModelForSequenceClassification, PeftModel
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

TRUST = {"trust_remote_code": True}
TEXTS = ["merge the token of a queue", "def sort_window(file):\n    return sort(file.window)\n"]

base, result, ours = map(Path, sys.argv[1:])
opened = {}


def embed(folder, way, model, tokenizer=base):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer, **TRUST)
    with torch.inference_mode():
        found = model.eval()(**tokenizer(TEXTS, padding=True, return_tensors="pt"))
    opened[f"{folder}.{way}"] = (found.logits if "logits" in found else found.pooler_output).numpy()


def encode(folder, path):
    opened[f"{folder}.sentence-transformers"] = SentenceTransformer(str(path), device="cpu", **TRUST).encode(TEXTS)


# Whole models: the folder that they came from is gone.
for path in (result / "classify.py", "user/classifier"):
    model = AutoModelForSequenceClassification.from_pretrained(path, **TRUST)
    assert sorted(model.config.label2id) == ["count", "merge", "parse", "sort"]
    embed("classify.py", "hub" if path == "user/classifier" else "transformers", model, path)
encode("search.py", result / "search.py")

# Adapters.
for name in ("peft", "peft untold", "transformers"):
    embed(name, "transformers", AutoModel.from_pretrained(result / name, **TRUST))
    embed(name, "peft", PeftModel.from_pretrained(AutoModel.from_pretrained(base, **TRUST), result / name))
embed("peft", "auto peft", AutoPeftModelForFeatureExtraction.from_pretrained(result / "peft", **TRUST))
encode("sentence", result / "sentence")
opened["sentence.hub"] = SentenceTransformer("user/sentence", device="cpu", **TRUST).encode(TEXTS)
for way, path in (("transformers", result / "trainer"), ("hub", "user/trainer")):
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=3, **TRUST)
    embed("trainer", way, model, result / "trainer")
embed(
    "trainer",
    "auto peft",
    AutoPeftModelForSequenceClassification.from_pretrained(result / "trainer", num_labels=3, **TRUST),
    result / "trainer",
)

# What our own command wrote where the package is installed.
for name in ("search", "search.merged"):
    encode(name, ours / name)
for name in ("classes", "classes.merged", "classes in full"):
    labels = {"num_labels": 4} if name == "classes" else {}
    model = AutoModelForSequenceClassification.from_pretrained(ours / name, **labels, **TRUST)
    embed(name, "transformers", model, ours / name)
embed("search", "transformers", AutoModel.from_pretrained(ours / "search", **TRUST), ours / "search")

assert not [name for name in sys.modules if name.partition(".")[0] == "open_codesage"]
np.savez(result / "opened.npz", **opened)
