"""Open folders that a remotely loaded model has saved: `export_reopen.py TEXTS.json RESULT FOLDER ...`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

TRUST = {"trust_remote_code": True}


def reopen(folder, texts, result):
    batch = AutoTokenizer.from_pretrained(folder, **TRUST)(texts, padding=True, truncation=True, return_tensors="pt")
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True, **TRUST)
    masked, masked_info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, **TRUST)
    with torch.inference_mode():
        embeddings = normalize(model(**batch).pooler_output, dim=-1).numpy()
    # A folder that sentence-transformers has not saved has no normalisation of its own.
    sentence_model = SentenceTransformer(str(folder), device="cpu", **TRUST)
    again = sentence_model.encode(texts, normalize_embeddings=True)
    np.savez(result / f"{folder.name}.npz", automodel=embeddings, sentence=again)
    return {
        "imported": [name for name in sys.modules if name.partition(".")[0] == "open_codesage"],
        "modules": [type(each).__name__ for each in (model, masked, sentence_model[0].auto_model)],
        "loading": [
            sorted(each[key])
            for each in (info, masked_info)
            for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
        ],
    }


texts, result, *folders = (Path(argument) for argument in sys.argv[1:])
texts = json.loads(texts.read_text(encoding="utf-8"))
(result / "report.json").write_text(json.dumps({folder.name: reopen(folder, texts, result) for folder in folders}))
