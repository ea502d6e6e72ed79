"""Fine-tune a model for code search on pairs of text and code, with nothing but sentence-transformers.

    python search.py MODEL PAIRS.csv OUTPUT

MODEL is a Hub id or a folder written by `open-codesage export`. The table has the columns text and code.
"""

import sys

from datasets import load_dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

model_id, pairs_file, output = sys.argv[1:]

model = SentenceTransformer(model_id, trust_remote_code=True)
pairs = load_dataset("csv", data_files=pairs_file, split="train").select_columns(["text", "code"])
trainer = SentenceTransformerTrainer(
    model=model,
    args=SentenceTransformerTrainingArguments(
        output,
        learning_rate=1e-3,
        num_train_epochs=3,
        per_device_train_batch_size=32,
        batch_sampler="no_duplicates",
    ),
    train_dataset=pairs,
    loss=MultipleNegativesRankingLoss(model),
)
trainer.train()
model.save_pretrained(output)

query, functions = pairs[0]["text"], pairs["code"]
scores = model.similarity(model.encode_query(query), model.encode_document(functions))[0]
print(query, "->", functions[scores.argmax().item()], sep="\n")
