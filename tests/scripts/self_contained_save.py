"""A user without the package fine-tunes and saves: `self_contained_save.py BASE GONE EXAMPLES ROWS.csv RESULT`.

BASE and GONE are two copies of an exported folder, which is "user/base" on the Hub of HF_ENDPOINT, too. Writes folders
to RESULT, pushes to the Hub, and writes what the models gave to RESULT/saved.npz.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

TRUST = {"trust_remote_code": True}
TEXTS = ["merge the token of a queue", "def sort_window(file):\n    return sort(file.window)\n"]
LORA = {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}

try:
    import open_codesage.modeling  # noqa: F401
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("open_codesage could be imported")

base, gone, examples, rows, result = sys.argv[1:]
result = Path(result)
saved = {}
torch.manual_seed(0)


def output(model, tokenizer):
    """What a model gives for the texts: class scores or embeddings."""
    with torch.inference_mode():
        found = model.eval()(**tokenizer(TEXTS, padding=True, return_tensors="pt"))
    return (found.logits if "logits" in found else found.pooler_output).numpy()


def shake(model):
    """Change all that is to be trained, as many steps would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


# The scripts of docs/examples, as they are.
for script, arguments in (("classify.py", [gone, rows, rows]), ("search.py", [gone, rows])):
    sys.argv = [script, *arguments, str(result / script)]
    made = runpy.run_path(str(Path(examples, script)), run_name="__main__")
    model = made["model"].cpu()
    saved[script] = model.encode(TEXTS) if script == "search.py" else output(model, made["tokenizer"])
    if script == "classify.py":
        model.push_to_hub("user/classifier")
        made["tokenizer"].push_to_hub("user/classifier")

# Adapters alone, of a base in a folder and of one on the Hub.
tokenizer = AutoTokenizer.from_pretrained(base, **TRUST)
saved["base"] = output(AutoModel.from_pretrained(base, **TRUST), tokenizer)
for name, task_type in (("peft", "FEATURE_EXTRACTION"), ("peft untold", None)):
    model = shake(get_peft_model(AutoModel.from_pretrained(base, **TRUST), LoraConfig(task_type=task_type, **LORA)))
    model.save_pretrained(result / name)
    saved[name] = output(model, tokenizer)

model = AutoModel.from_pretrained("user/base", **TRUST)
model.add_adapter(LoraConfig(**LORA))
shake(model).save_pretrained(result / "transformers")
saved["transformers"] = output(model, tokenizer)

model = SentenceTransformer("user/base", device="cpu", **TRUST)
model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", **LORA))
shake(model).save(str(result / "sentence"))
model.push_to_hub("user/sentence")
saved["sentence"] = model.encode(TEXTS)

model = AutoModelForSequenceClassification.from_pretrained("user/base", num_labels=3, **TRUST)
model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **LORA))
batch = [tokenizer(text) | {"labels": number} for number, text in enumerate(TEXTS)]
trainer = Trainer(
    model=model,
    args=TrainingArguments(str(result / "trainer"), max_steps=2, learning_rate=0.1, use_cpu=True),
    train_dataset=batch,
    processing_class=tokenizer,
)
trainer.train()
trainer.save_model(str(result / "trainer"))
model.push_to_hub("user/trainer")
saved["trainer"] = output(model, tokenizer)
np.savez(result / "saved.npz", **saved)
