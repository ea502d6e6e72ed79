"""Train on masked tokens, evaluate with a metric, and keep the best checkpoint, with nothing but transformers.

    python masked_lm.py MODEL TEXTS.csv OUTPUT

MODEL is a Hub id or a folder written by `open-codesage export`. The table has a column text.
"""

import sys

from datasets import load_dataset
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    EvalPrediction,
    Trainer,
    TrainingArguments,
)

model_id, file, output = sys.argv[1:]

tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
model = AutoModelForMaskedLM.from_pretrained(model_id, trust_remote_code=True)
rows = load_dataset("csv", data_files=file, split="train")
rows = rows.map(lambda row: tokenizer(row["text"], truncation=True, max_length=128), remove_columns=rows.column_names)
rows = rows.train_test_split(test_size=0.2, seed=0)


def accuracy(found: EvalPrediction) -> dict[str, float]:
    """Share of the masked tokens that are guessed."""
    masked = found.label_ids != -100
    return {"accuracy": (found.predictions == found.label_ids)[masked].mean().item()}


trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output,
        learning_rate=1e-3,
        max_steps=30,
        gradient_checkpointing=True,
        eval_strategy="steps",
        eval_steps=10,
        save_steps=10,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    ),
    train_dataset=rows["train"],
    eval_dataset=rows["test"],
    data_collator=DataCollatorForLanguageModeling(tokenizer, seed=0),
    processing_class=tokenizer,
    compute_metrics=accuracy,
    preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
)
trainer.train()
print("accuracy", trainer.evaluate()["eval_accuracy"])
trainer.save_model(output)
