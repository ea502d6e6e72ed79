"""Rows and a tiny model to fine-tune; the tests take them with `runpy.run_path`."""

import itertools
import json
import random
import runpy
from pathlib import Path

VERBS = ("parse", "merge", "count", "sort")
NOUNS = ("header", "matrix", "token", "window", "folder", "socket")
PLACES = ("file", "queue", "table", "stream")

export_tiny = runpy.run_path(str(Path(__file__).with_name("export_tiny.py")))


def rows() -> list[dict]:
    """96 pairs whose texts and functions share words; the verb is a label, noun and place name a module."""
    triples = list(itertools.product(VERBS, NOUNS, PLACES))
    random.Random(0).shuffle(triples)
    return [
        {
            "text": f"{verb} the {noun} of a {place}",
            "code": f"def {verb}_{noun}({place}):\n    return {verb}({place}.{noun})\n",
            "wrong": f"def {NOUNS[number % 6]}(): pass  # {number}\n",
            "label": verb,
            "module": f"{noun}/{place}",
        }
        for number, (verb, noun, place) in enumerate(triples)
    ]


def write_rows(file: Path, rows: list[dict]) -> Path:
    """Write a file of JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def base(folder: Path, **config) -> Path:
    """Write a masked LM as `pretrain` does, without dropout unless told."""
    dropout = dict.fromkeys(("residual_dropout_prob", "embedding_dropout_prob", "attention_dropout_prob"), 0.0)
    return export_tiny["stage_one"](folder, **(dropout | config))
