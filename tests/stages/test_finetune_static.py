"""A static model is fine-tuned for search, and stays one that every library opens."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from open_codesage.train.common.static_model import is_static
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.stages.configs import FinetuneConfig
from open_codesage.train.stages.finetune import main
from safetensors.numpy import load_file
from tokenizers import Tokenizer

SCRIPTS = Path(__file__).parents[1] / "scripts"
tiny, static = (runpy.run_path(str(SCRIPTS / f"{name}.py")) for name in ("finetune_tiny", "tiny_static"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    # Texts and functions share no word, so that there is something to learn.
    rows = [row | {"text": " ".join(word[::-1] for word in row["text"].split())} for row in tiny["rows"]()]
    static["write"](work / "base", [row[key] for row in rows for key in ("text", "code")])
    rows[0]["text"] += " 漢字"  # not known to the tokenizer
    tiny["write_rows"](work / "rows.jsonl", rows)
    return work


def config(work, output, **options):
    settings = {
        "task": "retrieval", "epochs": 6.0, "batch_size": 8, "learning_rate": 3e-2, "trainer": {"disable_tqdm": True},
    }  # fmt: skip
    return FinetuneConfig(
        model=str(work / "base"), data=str(work / "rows.jsonl"), output=output, **(settings | options)
    )


@pytest.mark.parametrize("loss", ["ours", "mnrl"])
def test_search_gets_better_and_the_folder_is_that_of_a_static_model(work, loss, tmp_path):
    tuned = main(config(work, work / loss, loss=loss))
    metrics = json.loads((tuned / "training.json").read_text())["metrics"]["evaluation"]
    assert metrics["fine-tuned"]["mrr"] > metrics["base model"]["mrr"] + 5
    assert is_static(tuned)
    before, after = (load_file(folder / "model.safetensors")["embeddings"] for folder in (work / "base", tuned))
    assert after.dtype == np.float16
    changed = {number for number, (old, new) in enumerate(zip(before, after, strict=True)) if (old != new).any()}
    unknown = Tokenizer.from_file(str(tuned / "tokenizer.json")).token_to_id("[UNK]")
    assert changed
    assert unknown not in changed
    assert not after[unknown].any()
    export(ExportConfig(tuned, tmp_path / "hub"))


def test_an_adapter_of_a_table_is_refused(work):
    with pytest.raises(ValueError, match="a static model, which has no layers for an adapter"):
        main(config(work, work / "refused", method="lora"))
