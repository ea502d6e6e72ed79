"""Rows of a user's own are read as they are, or refused with the place of the fault."""

import gzip
import json

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from open_codesage.train.corpus.corpus import FUNCTION_COLUMNS, PartWriter
from open_codesage.train.stages.data.tables import fingerprint, hold_out, read_rows, shared_texts

ROWS = [
    {"text": 'print("a, b")\n', "label": "NA", "number": 3},
    {"text": "null", "label": "é🙂", "number": 1},
    {"text": " x = 1\r\n", "label": "ok", "number": 2},
]


def write(folder, ending, rows=ROWS):
    file = folder / f"rows.{ending}"
    table = Dataset.from_list(rows)
    if ending == "parquet":
        table.to_parquet(file)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        content = (table.to_pandas().to_csv(index=False) if ending.startswith("csv") else lines).encode()
        file.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    return str(file)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, ending):
    rows = read_rows(write(tmp_path, ending), "train", ["text"], ["number", "label"])
    assert rows.column_names == ["text", "number", "label"]
    expected = [{name: row[name] for name in rows.column_names} for row in ROWS]
    assert rows.to_list() == expected
    assert fingerprint(rows) == fingerprint(Dataset.from_list(expected))
    assert fingerprint(rows) != fingerprint(rows.select([1, 0, 2]))


def test_a_corpus_gives_its_training_functions_only(tmp_path):
    row = dict.fromkeys(FUNCTION_COLUMNS, "x") | {"start_line": 1, "end_line": 2}
    with PartWriter(tmp_path / "functions", FUNCTION_COLUMNS) as writer:
        for unit in ("seen", "unseen", "seen"):
            writer.write(row | {"unit": unit})
    (tmp_path / "held_out.json").write_text('{"units": ["unseen"]}')
    assert read_rows(str(tmp_path), "train", ["summary", "code"], ["unit"])["unit"][:] == ["seen", "seen"]


def test_a_dataset_of_the_hub_is_read_with_its_split(tmp_path, monkeypatch):
    """What the Hub would send is already in the cache of datasets, so no connection is needed."""
    files = {"train": write(tmp_path, "jsonl"), "test": write(tmp_path, "json", ROWS[:1])}
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    (made,) = (tmp_path / "cache").glob("json/*")
    (tmp_path / "cache" / "somebody___rows").mkdir()
    made.rename(tmp_path / "cache" / "somebody___rows" / "default")
    for file in (tmp_path / "cache" / "somebody___rows").rglob("json-*.arrow"):
        file.rename(file.with_name(file.name.replace("json-", "rows-")))
    assert len(read_rows("somebody/rows", "train", ["text"])) == 3
    assert len(read_rows("somebody/rows:test", "train", ["text"])) == 1
    with pytest.raises(ValueError, match=r"no file somebody/rows:valid.*split valid"):
        read_rows("somebody/rows:valid", "train", ["text"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", json.dumps(ROWS[0]), "no column code: name the right ones of text, label, number"),
        ("rows.csv", "", "rows.csv holds no rows, or none that can be read as csv: EmptyDataError"),
        ("rows.jsonl", "", "rows.jsonl holds no rows"),
        ("rows.csv", "text,code\n", "rows.csv holds no rows"),
        ("rows.jsonl", '{"text": "a", "code":', "none that can be read as json"),
        ("rows.csv", "text,code\nx,1\n", "the column code holds int64 and no texts"),
        ("rows.csv", 'text,code\na,b\nc," "\nd,\n', r"the column code is empty in 2 of 3 rows \(the first is row 2\)"),
        ("rows.jsonl", '{"text": "a", "code": "b"}\n{"text": "a"}\n', "the column code is empty in 1 of 2 rows"),
        ("rows.txt", "text", "none of the endings .csv, .json, .jsonl, .parquet, with or without .gz"),
    ],
)
def test_what_can_not_be_used_is_refused_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_rows(str(tmp_path / name), "train", ["text", "code"])


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file nowhere\.jsonl, and as a dataset of the Hub it cannot be read"):
        read_rows("nowhere.jsonl", "train", ["text"])
    with pytest.raises(ValueError, match="is a folder, but no corpus"):
        read_rows(str(tmp_path), "train", ["text"])


def test_groups_are_held_out_as_a_whole():
    rows = Dataset.from_dict({"text": [str(n) for n in range(100)], "module": [n % 9 for n in range(100)]})
    train, held = hold_out(rows, 0.2, "module", seed=0)
    assert set(train["module"]).isdisjoint(held["module"])
    assert sorted([*train["text"], *held["text"]], key=int) == rows["text"][:]
    assert 20 <= len(held) <= 32
    assert held["text"][:] == hold_out(rows, 0.2, "module", seed=0)[1]["text"][:]
    assert held["text"][:] != hold_out(rows, 0.2, "module", seed=1)[1]["text"][:]
    with pytest.raises(ValueError, match="all 100 rows have the same module"):
        hold_out(rows.map(lambda row: {"module": 1}), 0.2, "module", seed=0)


def test_texts_on_both_sides_are_counted():
    one = Dataset.from_dict({"text": ["a", "b", "c"], "code": ["1", "2", "3"]})
    other = Dataset.from_dict({"text": ["c", "x"], "code": ["9", "1"]})
    assert shared_texts(one, other, ["text"]) == 1
    assert shared_texts(one, other, ["text", "code"]) == 2


def test_declared_classes_keep_their_type(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features).to_parquet(tmp_path / "rows.parquet")
    rows = read_rows(str(tmp_path / "rows.parquet"), "train", ["text"], ["label"])
    assert rows.features["label"].names == ["no", "yes"]
