"""Users without the package: `publish_pull.py TEXTS.json EMBEDDINGS.npz`, from and to the Hub of HF_ENDPOINT.

Opens by AutoModel, AutoTokenizer and SentenceTransformer what publish_push.py has put there; trains one step, pushes
the result and opens that as well. The name of an array is REPOSITORY.LIBRARY.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

TRUST = {"trust_remote_code": True}
texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
embeddings = {}


def embed(model, tokenizer):
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return normalize(model.eval()(**batch).pooler_output, dim=-1).numpy()


def pull(name):
    repo = f"user/{name}"
    model, tokenizer = AutoModel.from_pretrained(repo, **TRUST), AutoTokenizer.from_pretrained(repo, **TRUST)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    embeddings[f"{name}.auto"] = embed(model, tokenizer)
    embeddings[f"{name}.sentence"] = SentenceTransformer(repo, device="cpu", **TRUST).encode(texts)


for name in ("published", "auto", "masked", "sentence"):
    pull(name)

model = AutoModelForMaskedLM.from_pretrained("user/published", **TRUST)
tokenizer = AutoTokenizer.from_pretrained("user/published", **TRUST)
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
model(**batch, labels=batch["input_ids"]).loss.backward()
torch.optim.SGD(model.parameters(), lr=0.1).step()
model.push_to_hub("user/tuned-auto")
tokenizer.push_to_hub("user/tuned-auto")
sentence_model = SentenceTransformer("user/published", device="cpu", **TRUST)
sentence_model[0].auto_model.load_state_dict(model.base_model.state_dict())
sentence_model.push_to_hub("user/tuned-sentence")
embeddings["tuned"] = embed(model.base_model, tokenizer)
for name in ("tuned-auto", "tuned-sentence"):
    pull(name)
np.savez(sys.argv[2], **embeddings)
