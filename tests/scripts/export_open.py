"""Open a Hub folder by every way in and save it again: `export_open.py FOLDER TEXTS.json RESULT`.

Writes RESULT/report.json and RESULT/embeddings.npz, and the folder saved again by AutoModel (RESULT/automodel), by
AutoModelForMaskedLM (RESULT/masked) and by SentenceTransformer (RESULT/sentence).
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TRUST = {"trust_remote_code": True}


class Messages(logging.Handler):
    """Collects what the libraries warn of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def importable():
    try:
        import open_codesage.modeling  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def main(folder, texts, result):
    report = {"importable": importable(), "codesage in transformers": "codesage" in CONFIG_MAPPING}
    messages = Messages()
    logging.captureWarnings(True)
    for library in ("transformers", "sentence_transformers", "py.warnings"):
        logging.getLogger(library).addHandler(messages)
    tokenizer = AutoTokenizer.from_pretrained(folder, **TRUST)
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True, **TRUST)
    masked, masked_info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, **TRUST)
    sentence_model = SentenceTransformer(folder, device="cpu", **TRUST)
    for path, saved in (("automodel", model), ("masked", masked)):
        saved.save_pretrained(result / path)
        tokenizer.save_pretrained(result / path)
    sentence_model.save(str(result / "sentence"))
    # A new head is said to be new: only this warning is as it should be.
    report["messages"], messages.texts = messages.texts, []
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, **TRUST)
    report["new head"] = messages.texts

    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        embeddings = {
            "automodel": normalize(model(**batch).pooler_output, dim=-1).numpy(),
            "masked": normalize(masked.base_model(**batch).pooler_output, dim=-1).numpy(),
            "sentence": sentence_model.encode(texts),
        }
        report["logits"] = list(masked(**batch).logits.shape[-1:])
        report["classes"] = list(classifier(**batch).logits.shape)
    np.savez(result / "embeddings.npz", **embeddings)
    models = (model, masked, classifier, sentence_model[0].auto_model)
    report["modules"] = [type(each).__module__ for each in models]
    report["dtypes"] = sorted({str(parameter.dtype) for each in models for parameter in each.parameters()})
    report["loading"] = [
        sorted(each[key])
        for each in (info, masked_info)
        for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    ]
    report["imported"] = [name for name in sys.modules if name.partition(".")[0] == "open_codesage"]
    (result / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), Path(sys.argv[3]))
