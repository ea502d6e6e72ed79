"""Fine-tune a classifier on labelled code, with nothing but transformers.

    python classify.py MODEL TRAIN.csv TEST.csv OUTPUT

MODEL is a Hub id or a folder written by `open-codesage export`. The tables have the columns text and label.
"""

import sys

from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

model_id, train_file, test_file, output = sys.argv[1:]

rows = load_dataset("csv", data_files={"train": train_file, "test": test_file})
labels = sorted(set(rows["train"]["label"]))
tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(
    model_id,
    trust_remote_code=True,
    id2label=dict(enumerate(labels)),
    label2id={label: number for number, label in enumerate(labels)},
)
rows = rows.map(
    lambda row: tokenizer(row["text"], truncation=True) | {"labels": model.config.label2id[row["label"]]},
    remove_columns=rows["train"].column_names,
)
trainer = Trainer(
    model=model,
    args=TrainingArguments(output, learning_rate=1e-3, num_train_epochs=3, per_device_train_batch_size=16),
    train_dataset=rows["train"],
    eval_dataset=rows["test"],
    data_collator=DataCollatorWithPadding(tokenizer),
    processing_class=tokenizer,
    compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean().item()},
)
trainer.train()
print("accuracy", trainer.evaluate()["eval_accuracy"])
trainer.save_model(output)
