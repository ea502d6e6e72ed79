"""What is saved opens where open_codesage is not installed, by its own code, and gives the same numbers."""

import os
import subprocess
import sys

import pytest
import torch
from open_codesage.modeling import CodeSageForMaskedLM, CodeSageForSequenceClassification, CodeSageModel
from safetensors.torch import load_file, save_file

STRANGER = """
import sys
sys.modules["open_codesage"] = None
try:
    import open_codesage
except ImportError:
    pass
else:
    raise SystemExit("open_codesage could be imported")

from pathlib import Path
import transformers
from safetensors.torch import load_file, save_file

folder = Path(sys.argv[1])
batch = load_file(folder / "batch.safetensors")
found = {}
for auto in ("AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification"):
    model = getattr(transformers, auto).from_pretrained(folder / auto, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    output = model(**batch)
    found[auto] = (output.pooler_output if auto == "AutoModel" else output.logits).detach().contiguous()
    model.save_pretrained(folder / "again" / auto)
save_file(found, folder / "found.safetensors")
"""

CODE = {"attention_codesage.py", "configuration_codesage.py", "modeling_codesage.py"}


@torch.no_grad()
def test_a_stranger_opens_what_we_save(config, batch, tmp_path):
    expected = {}
    for auto, cls in (
        ("AutoModel", CodeSageModel),
        ("AutoModelForMaskedLM", CodeSageForMaskedLM),
        ("AutoModelForSequenceClassification", CodeSageForSequenceClassification),
    ):
        model = cls(config).eval()
        model.save_pretrained(tmp_path / auto)
        output = model(*batch)
        expected[auto] = output.pooler_output if auto == "AutoModel" else output.logits
        assert {path.name for path in (tmp_path / auto).glob("*.py")} == CODE
    save_file(dict(zip(("input_ids", "attention_mask"), batch, strict=True)), tmp_path / "batch.safetensors")

    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.fail(run.stderr)
    found = load_file(tmp_path / "found.safetensors")
    for auto, values in expected.items():
        assert (found[auto] - values).abs().max() < 1e-6
        # Saved again by the stranger, it still carries its code.
        assert {path.name for path in (tmp_path / "again" / auto).glob("*.py")} == CODE
