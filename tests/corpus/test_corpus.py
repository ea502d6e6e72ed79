"""The corpus folder is read as two splits of whole units, and a folder that is no corpus is named as such."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter, read_parts

UNITS = ("alpha", "beta", "gamma")


def file_row(unit, language="python", text="x = 1\n"):
    return {"text": text, "language": language, "path": f"{unit}/a", "licence": "MIT", "unit": unit}


def function_row(unit, language="python", name="f"):
    return {
        "name": name,
        "summary": f"Do {name} of {unit}.",
        "documentation": f"Do {name} of {unit}.",
        "code": f"def {name}():\n    {unit}()",
        "hard_positive": f"{unit}()",
        "start_line": 1,
        "end_line": 2,
        "language": language,
        "path": f"{unit}/a",
        "licence": "MIT",
        "unit": unit,
    }


def write_corpus(folder, functions, held_out=("beta",)):
    with PartWriter(folder / "files", FILE_COLUMNS) as files:
        for unit in UNITS:
            files.write(file_row(unit))
            files.write(file_row(unit, "java"))
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as writer:
        for row in functions:
            writer.write(row)
    (folder / "held_out.json").write_text(json.dumps({"seed": 0, "units": held_out}))
    return folder


@pytest.fixture
def folder(tmp_path):
    rows = [function_row(unit, name=f"f{i}") for i in range(3) for unit in UNITS]
    return write_corpus(tmp_path / "corpus", [*rows, function_row("gamma", "java")])


def test_a_unit_is_wholly_in_one_split(folder):
    corpus = Corpus(folder)
    assert corpus.held_out_units == {"beta"}
    for read in (corpus.files, corpus.functions):
        assert set(read("held_out")["unit"]) == {"beta"}
        assert set(read("train")["unit"]) == {"alpha", "gamma"}
    assert len(corpus.functions("train")) + len(corpus.functions("held_out")) == 10
    assert corpus.functions("train").column_names == list(FUNCTION_COLUMNS)
    assert corpus.files("train").column_names == list(FILE_COLUMNS)


def test_rows_come_back_as_written_in_order(folder):
    functions = Corpus(folder).functions("held_out")
    assert functions[:] == {
        column: [function_row("beta", name=f"f{i}")[column] for i in range(3)] for column in FUNCTION_COLUMNS
    }


def test_languages_are_selected(folder):
    corpus = Corpus(folder)
    assert len(corpus.functions("train", ["java"])) == 1
    assert len(corpus.functions("held_out", ["java"])) == 0
    assert len(corpus.files("train", ("java",))) == 2
    assert len(corpus.files("train", ("java", "python"))) == 4
    with pytest.raises(ValueError, match="have no ruby: choose among java, python"):
        corpus.files("train", ["python", "ruby"])


def test_rows_are_memory_mapped(folder):
    assert Corpus(folder).functions("train").cache_files


def test_a_corpus_written_again_in_the_same_place_is_read_anew(folder):
    assert len(Corpus(folder).functions("held_out")) == 3
    shutil.rmtree(folder)
    write_corpus(folder, [function_row("beta", name="new"), function_row("alpha")])
    assert Corpus(folder).functions("held_out")["name"][:] == ["new"]


def test_there_are_two_splits(folder):
    with pytest.raises(ValueError, match="no split 'test': choose 'train' or 'held_out'"):
        Corpus(folder).files("test")


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"no corpus folder .*nowhere: write one with `open-codesage extract`"):
        Corpus(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [None, "", "[]", '{"seed": 0}', "\xff"])
def test_a_foreign_folder_is_named_with_the_remedy(tmp_path, content):
    if content is not None:
        (tmp_path / "held_out.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"is not a corpus folder .*open-codesage extract"):
        Corpus(tmp_path)


def test_missing_parts_are_named(folder):
    shutil.rmtree(folder / "functions")
    corpus = Corpus(folder)
    assert len(corpus.files("train")) == 4
    with pytest.raises(ValueError, match=r"functions has no part-\*\.parquet: write the corpus again"):
        corpus.functions("train")


@pytest.mark.parametrize("damage", [b"", b"PAR1 and nothing else", None])
def test_a_damaged_part_is_named(folder, damage):
    part = folder / "functions" / "part-00000.parquet"
    data = part.read_bytes()
    part.write_bytes(data[: len(data) // 2] if damage is None else damage)
    with pytest.raises(ValueError, match=r"part-00000\.parquet is damaged .*: write the corpus again"):
        Corpus(folder).functions("train")


def test_damage_inside_a_part_is_found_when_it_is_read(folder):
    part = folder / "functions" / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[8:400] = b"\0" * 392  # the pages; the footer with the schema is whole
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"functions is damaged .*: write the corpus again"):
        Corpus(folder).functions("train")


def test_missing_columns_are_named(folder):
    part = folder / "functions" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["summary", "unit"]), part)
    with pytest.raises(ValueError, match=r"part-00000\.parquet has no column summary, unit: write the corpus again"):
        Corpus(folder).functions("train")


def test_the_writer_cuts_groups_and_parts_by_size(tmp_path):
    rows = [file_row("alpha", text=f"{i:03d}" * 100) for i in range(100)]
    with PartWriter(tmp_path, FILE_COLUMNS, group_characters=1000, part_characters=5000) as writer:
        for row in rows:
            writer.write(row)
            assert len(writer._buffer) < 5  # what is held in memory does not grow
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts[:2]] == ["part-00000.parquet", "part-00001.parquet"]
    assert len(parts) >= 6
    assert pq.ParquetFile(parts[0]).num_row_groups == 4
    assert list(read_parts(tmp_path)) == rows
