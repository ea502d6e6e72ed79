"""Prepared rows: nothing lost, nothing glued, well filled, the same for any number of processes, whole or not there."""

import importlib
import json
import subprocess
import sys
import sysconfig
import threading
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.tokenizer import encode_with_identifiers, train_tokenizer
from open_codesage.train.stages.data import packing
from open_codesage.train.stages.data.packing import ShardReport, pack, prepare_shards, read_report

END = 0
STDLIB = Path(sysconfig.get_path("stdlib"))
TEXTS = [file.read_text("utf-8") for file in sorted(STDLIB.glob("t*.py"))]
BROKEN = "def f(:\n" * 50
TRAPS = ["", "x", BROKEN, "\ufeffdef f(größe):\r\n\treturn größe\r\n", "é = '" + "😀" * 300 + "'\n", "a" * 3000]


OTHER = """
import shutil, sys
from pathlib import Path
from open_codesage.train.common.output import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
    shutil.copytree(sys.argv[2], sys.argv[1])
"""


def files_of(texts: list[str]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": texts, "language": ["python"] * len(texts), "path": [""] * len(texts)})


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=2000, model_max_length=64)


@pytest.fixture(scope="module")
def prepared(tokenizer, tmp_path_factory) -> tuple[datasets.Dataset, Path]:
    output = tmp_path_factory.mktemp("shards") / "rows"
    return prepare_shards(files_of(TEXTS + TRAPS), tokenizer, 128, output), output


def documents_of(rows: datasets.Dataset) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All documents as (tokens, identifier ids)."""
    documents = []
    for row in rows:
        ends = np.cumsum(row["document_lengths"]).tolist()
        for start, end in pairwise([0, *ends]):
            documents.append((tuple(row["input_ids"][start:end]), tuple(row["identifier_ids"][start:end])))
    return documents


def test_rows_have_their_shape(prepared):
    rows, _ = prepared
    assert {name: str(kind.feature.dtype) for name, kind in rows.features.items()} == {
        "input_ids": "uint16",
        "identifier_ids": "uint16",
        "document_lengths": "uint32",
    }
    for row in rows:
        assert 2 <= len(row["input_ids"]) == len(row["identifier_ids"]) == sum(row["document_lengths"]) <= 128
        ends = np.cumsum(row["document_lengths"]) - 1
        assert np.flatnonzero(np.array(row["input_ids"]) == END).tolist() == ends.tolist()
        assert not np.array(row["identifier_ids"])[ends].any()
        assert min(row["document_lengths"]) >= 2


def test_every_token_of_every_file_is_there_once(prepared, tokenizer):
    """The documents are the files, cut up; joined again they are the files with their identifiers."""
    rows, _ = prepared
    found = documents_of(rows)
    for text in TEXTS + TRAPS:
        identifiers = find_identifiers(text, "python") if text != BROKEN else []
        [(tokens, names)] = encode_with_identifiers([text], [identifiers], tokenizer)
        tokens, names = tokens.tolist(), names.tolist()
        while tokens:  # every file's start is the start of a document; take that away, and so on
            size = next(
                len(document) - 1
                for document, ids in sorted(found, key=lambda one: -len(one[0]))
                if list(document[:-1]) == tokens[: len(document) - 1] and list(ids[:-1]) == names[: len(ids) - 1]
            )
            found.remove(((*tokens[:size], END), (*names[:size], 0)))
            tokens, names = tokens[size:], names[size:]
    assert found == []


def test_long_files_are_cut_at_line_breaks(prepared, tokenizer):
    rows, _ = prepared
    parts = [document for document, _ in documents_of(rows) if len(document) > 64]
    at_line = [tokenizer.decode(document).lstrip(" ").startswith("\n") for document in parts]
    assert np.mean(at_line) > 0.75  # the others are starts of files and of lines longer than half a row


def test_the_report_counts(prepared, tokenizer):
    rows, output = prepared
    report = read_report(output)
    everything = [len(row["input_ids"]) for row in rows]
    assert report.rows == len(rows)
    assert report.tokens == sum(everything)
    assert report.files == len(TEXTS) + len(TRAPS)
    assert report.empty_files == 1
    assert report.documents == len(documents_of(rows))
    assert report.identifier_tokens == sum(np.count_nonzero(row["identifier_ids"]) for row in rows)
    assert report.unparsable == {"syntax_error": 1}
    assert report.fill == sum(everything) / (128 * len(rows))
    assert 0.1 < report.identifier_share < 0.5


def test_rows_are_full(tokenizer, tmp_path):
    """Real files, rows of a usual length: more than 97 % of the places hold a token."""
    files = [file.read_text("utf-8") for file in sorted(STDLIB.glob("[a-d]*.py"))]
    prepare_shards(files_of(files), tokenizer, 512, tmp_path / "rows")
    report = read_report(tmp_path / "rows")
    assert report.tokens > 300_000
    assert report.fill > 0.97


def test_a_broken_file_is_used_without_identifiers(tokenizer, tmp_path, capsys):
    rows = prepare_shards(files_of([BROKEN]), tokenizer, 64, tmp_path / "rows")
    assert not any(any(row["identifier_ids"]) for row in rows)
    text = "".join(tokenizer.decode(document[:-1]) for document, _ in documents_of(rows))
    assert sorted(text.split()) == sorted(BROKEN.split())
    assert "files without identifiers: syntax_error 1" in capsys.readouterr().out


def test_a_file_with_more_names_than_ids(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_MOST_NAMES", 3)
    rows = prepare_shards(files_of(["a = b = c\n", "a = b = c = d\n"]), tokenizer, 64, tmp_path / "rows")
    assert sum(any(ids) for _, ids in documents_of(rows)) == 1
    assert read_report(tmp_path / "rows").unparsable == {"too_many_names": 1}


def test_any_number_of_processes_gives_the_same_bytes(prepared, tokenizer, tmp_path):
    _, output = prepared
    prepare_shards(files_of(TEXTS + TRAPS), tokenizer, 128, tmp_path / "rows", num_proc=2)
    assert (tmp_path / "rows" / packing.REPORT).read_bytes() == (output / packing.REPORT).read_bytes()
    data = sorted(file.name for file in output.glob("*.arrow"))
    assert data
    for name in data:
        assert (tmp_path / "rows" / name).read_bytes() == (output / name).read_bytes()


CRASHING = """
import os
from open_codesage.train.stages.data.packing import _Encoder

class Crashing(_Encoder):
    def __call__(self, file):
        if "segfault" in file[0]:
            os._exit(1)
        return super().__call__(file)
"""


def test_a_file_that_kills_its_process_costs_its_identifiers(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(tmp_path)  # worker processes look there too
    monkeypatch.setattr(packing, "_Encoder", importlib.import_module("crashing").Crashing)
    texts = ["a = 1\n", "segfault = 1\n", "b = 1\n"]
    rows = prepare_shards(files_of(texts), tokenizer, 64, tmp_path / "rows", num_proc=1)
    found = {tokenizer.decode(document[:-1]): any(ids) for document, ids in documents_of(rows)}
    assert found == {"a = 1\n": True, "segfault = 1\n": False, "b = 1\n": True}
    assert read_report(tmp_path / "rows").unparsable == {"crash": 1}


def test_rows_are_memory_mapped(prepared):
    rows, output = prepared
    assert [Path(file["filename"]).parent for file in rows.cache_files] == [output]


# Prepared once.


def test_the_same_files_are_not_prepared_again(prepared, tokenizer, monkeypatch):
    rows, output = prepared
    tokenizer("a b c", truncation=True, max_length=2, padding="max_length")  # its traces in the tokenizer do not count
    monkeypatch.setattr(packing, "_write", lambda *_: pytest.fail("prepared again"))
    again = prepare_shards(files_of(TEXTS + TRAPS), tokenizer, 128, output)
    assert again.data.equals(rows.data)


@pytest.mark.parametrize("changed", ["text", "order", "length", "tokenizer", "queries"])
def test_other_rows_are_not_taken_for_these(prepared, tokenizer, changed, monkeypatch):
    _, output = prepared
    texts, length = TEXTS + TRAPS, 128
    if changed == "text":
        texts = [*texts[:-1], texts[-1] + "\n"]
    elif changed == "order":
        texts = texts[::-1]
    elif changed == "length":
        length = 127
    elif changed == "queries":
        monkeypatch.setattr(packing, "definition_of", lambda language: "the queries of another version")
    else:
        tokenizer = train_tokenizer(TEXTS[:1], vocab_size=400, model_max_length=64)
    before = (output / packing.REPORT).read_bytes()
    named = {"text": "files", "order": "files", "length": "max_length"}.get(changed, changed)
    with pytest.raises(ValueError, match=rf"\({named} was [^;]*\): .*choose another output"):
        prepare_shards(files_of(texts), tokenizer, length, output)
    assert (output / packing.REPORT).read_bytes() == before


def test_files_of_a_known_origin_are_not_read_again(prepared, tokenizer, monkeypatch, tmp_path):
    files = files_of(TEXTS)
    first = prepare_shards(files, tokenizer, 128, tmp_path / "rows", origin="corpus 1")
    monkeypatch.setattr(packing, "_content", lambda _: pytest.fail("read again"))
    monkeypatch.setattr(packing, "_write", lambda *_: pytest.fail("prepared again"))
    again = prepare_shards(files, tokenizer, 128, tmp_path / "rows", origin="corpus 1")
    assert again.data.equals(first.data)
    with pytest.raises(ValueError, match="files was 'corpus 1', is 'corpus 2'"):
        prepare_shards(files, tokenizer, 128, tmp_path / "rows", origin="corpus 2")


def test_who_finds_another_process_preparing_the_rows_waits_and_opens_them(prepared, tokenizer, tmp_path, monkeypatch):
    rows, made = prepared
    monkeypatch.setattr(packing, "_write", lambda *_: pytest.fail("prepared twice"))
    command = [sys.executable, "-c", OTHER, str(tmp_path / "rows"), str(made)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        threading.Timer(0.2, other.stdin.close).start()  # Who would not wait would be refused, or prepare them again.
        assert prepare_shards(files_of(TEXTS + TRAPS), tokenizer, 128, tmp_path / "rows").data.equals(rows.data)


def test_a_failure_leaves_nothing(tokenizer, tmp_path, monkeypatch):
    def fail(self, file):
        if file[0] == "b":
            raise RuntimeError("no more space")
        return encode(self, file)

    encode = packing._Encoder.__call__
    monkeypatch.setattr(packing._Encoder, "__call__", fail)
    with pytest.raises(RuntimeError, match="no more space"):
        prepare_shards(files_of(["a", "b"]), tokenizer, 64, tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []


# Mistakes.


def test_a_folder_of_something_else_is_left_alone(tokenizer, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="was not made by this command: choose another output"):
        prepare_shards(files_of(TEXTS[:1]), tokenizer, 64, tmp_path)
    (tmp_path / packing.REPORT).write_text(json.dumps({"rows": 1}))
    with pytest.raises(ValueError, match="does not hold prepared rows"):
        read_report(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("texts", [[], [""]])
def test_no_text_is_refused(tokenizer, tmp_path, texts):
    with pytest.raises(ValueError, match="no text"):
        prepare_shards(files_of(texts), tokenizer, 64, tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []


def test_missing_columns_and_useless_lengths_are_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="no column language, only path, text"):
        prepare_shards(files_of(["a"]).select_columns(["path", "text"]), tokenizer, 64, tmp_path / "rows")
    with pytest.raises(ValueError, match="max_length is 1"):
        prepare_shards(files_of(["a"]), tokenizer, 1, tmp_path / "rows")


# Packing.


@settings(max_examples=200)
@given(st.lists(st.integers(2, 20), max_size=60))
def test_packing_keeps_all_documents_and_the_length(sizes):
    documents = [packing._Document(np.full(size, i), np.zeros(size)) for i, size in enumerate(sizes)]
    rows = list(pack(documents, 20))
    assert all(0 < sum(len(document.tokens) for document in row) <= 20 for row in rows)
    assert sorted(int(document.tokens[0]) for row in rows for document in row) == list(range(len(sizes)))
    half = sum(sum(len(document.tokens) for document in row) <= 10 for row in rows)
    assert half <= 1  # two rows that are half empty would have been one


def test_packing_holds_a_bounded_number_of_rows(monkeypatch):
    monkeypatch.setattr(packing, "_OPEN_ROWS", 3)
    taken = []

    def documents():
        for i in range(100):
            taken.append(i)
            yield packing._Document(np.full(15, i), np.zeros(15))

    rows = pack(documents(), 20)
    for i in range(50):
        next(rows)
        assert len(taken) == i + 4


def test_fill_of_a_report():
    report = ShardReport(100, 1, 0, 1, rows=2, tokens=150, identifier_tokens=30, unparsable={})
    assert (report.fill, report.identifier_share) == (0.75, 0.2)
