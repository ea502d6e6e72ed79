"""From source files to a corpus folder: what is in it, what is counted and held out, and what never half exists."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from open_codesage.tokenization.filters import REJECTIONS
from open_codesage.train.corpus.corpus import FUNCTION_COLUMNS, Corpus
from open_codesage.train.corpus.examine import ROW, Outcome, _process, examine, extract
from open_codesage.train.corpus.extract import ExtractConfig, main
from open_codesage.train.corpus.sources import SourceFile, collect_folders
from open_codesage.train.corpus.writer import CorpusBuilder


def function(name, number=0, summary=None):
    """A documented function that passes the filters, with a body of its own."""
    return (
        f"def {name}(items, limit):\n"
        f'    """{summary or f"Count the items of {name} up to the limit."}"""\n'
        f"    total = {number}\n"
        f"    for item in items[:limit]:\n"
        f"        total += len(item.{name})\n"
        f"    return total\n"
    )


UNDOCUMENTED = "def plain(a, b):\n    c = a * b\n    d = c - a\n    return c + d\n"
ONE_LINE = 'def short(a):\n    """Give back the same thing again."""\n    return a\n'
JAVA = """
class Shape {
    /**
     * Computes the area of the shape in square metres.
     */
    double area(double width, double height) {
        double result = width * height;
        check(result);
        return result;
    }
}
"""


def write(path, *parts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts), encoding="utf-8")


@pytest.fixture
def source(tmp_path):
    """Forty modules in ten packages and one deep package, 84 functions with documentation, some to be left out."""
    root = tmp_path / "lib"
    for i in range(10):
        for j in range(4):
            names = [f"measure_{i}_{j}_{k}" for k in range(2)]
            write(root / f"package{i}" / f"module{j}.py", *(function(name, i * j) for name in names), UNDOCUMENTED)
    write(root / "deep" / "a" / "b.py", function("deepest"), ONE_LINE)
    write(root / "copies.py", function("measure_3_1_0", 3).replace("    ", "\t"), function("copies_more"))
    write(root / "Shape.java", JAVA)
    write(root / "broken" / "binary.py", "\0" * 100)
    write(root / "broken" / "again.py", (root / "package0" / "module0.py").read_text() + "\n\n\n")
    return root


def run(folder, output, **settings):
    defaults = {"source": (str(folder),), "languages": ("python",), "min_held_out": 8, "num_proc": 1}
    return main(ExtractConfig(output=output, **(defaults | settings)))


def contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_extract_gives_the_rows_of_one_file():
    text = "\n\n".join([function("first"), UNDOCUMENTED, ONE_LINE, function("second")])
    rows = extract(text, "python")
    assert [row["name"] for row in rows] == ["first", "second"]
    assert all(tuple(row) == ROW for row in rows)
    assert rows[0]["summary"] == "Count the items of first up to the limit."
    assert rows[0]["code"] == function("first").replace(f'    """{rows[0]["summary"]}"""\n', "").rstrip()
    assert rows[1]["start_line"] == text.split("def second")[0].count("\n") + 1
    assert tuple(FUNCTION_COLUMNS)[: len(ROW)] == ROW


def test_what_is_left_out_of_a_file_is_counted():
    result = examine("\n\n".join([function("first"), UNDOCUMENTED, ONE_LINE]), "python")
    assert result.documented == 2
    assert result.rejected == {"body_too_short": 1}
    assert result.unparsable is None
    hostile = examine("\0" + function("first"), "python")
    assert hostile.rows == []
    assert hostile.unparsable == "binary"


def test_the_corpus_has_every_function_once_and_the_report_adds_up(source, tmp_path, capsys):
    folder = run(source, tmp_path / "corpus", languages=("python", "java"))
    corpus, report = Corpus(folder), json.loads((folder / "report.json").read_text())
    files = [*corpus.files("train"), *corpus.files("held_out")]
    functions = [*corpus.functions("train"), *corpus.functions("held_out")]
    assert len(files) == 43
    names = [row["name"] for row in functions]
    assert len(set(names)) == len(names) == 83
    assert {"area", "deepest", "copies_more", "measure_0_0_0"} <= set(names)
    assert {row["licence"] for row in functions} == {"unknown"}
    python, java = report["languages"]["python"], report["languages"]["java"]
    assert (python["files"], java["files"]) == (42, 1)
    assert python["bytes"] == sum(len(row["text"].encode()) for row in files if row["language"] == "python")
    assert python["skipped"] == {"binary": 1, "duplicate": 1}
    assert python["rejected"] == {"body_too_short": 1}
    assert set(python["rejected"]) <= set(REJECTIONS)
    removed = report["held_out"]["left_out_as_also_in_another_unit"]
    assert python["duplicates"] == 1
    assert python["documented"] == python["pairs"] + python["duplicates"] + 1 + removed == 84
    assert java["pairs"] == 1
    assert report["held_out"]["pairs"] == len(corpus.functions("held_out")) >= 8
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("extract: 43 files, ")
    assert f"83 pairs, {report['held_out']['pairs']} of them held out" in line


def test_a_row_points_to_its_place_in_the_file(source, tmp_path):
    corpus = Corpus(run(source, tmp_path / "corpus"))
    texts = {row["path"]: row["text"] for split in ("train", "held_out") for row in corpus.files(split)}
    for row in corpus.functions("train"):
        lines = texts[row["path"]].splitlines()[row["start_line"] - 1 : row["end_line"]]
        assert lines[0].startswith(f"def {row['name']}(")
        assert lines[-1].strip() == "return total"


def test_held_out_units_are_not_in_training(source, tmp_path):
    corpus = Corpus(run(source, tmp_path / "corpus", min_held_out=20))
    train, held_out = corpus.functions("train"), corpus.functions("held_out")
    assert len(held_out) >= 20 * 80 // 500 and len(train) > len(held_out)
    for column in ("unit", "path", "code"):
        assert set(train[column]).isdisjoint(held_out[column])
    assert set(corpus.files("train")["unit"]).isdisjoint(corpus.held_out_units)
    assert set(corpus.files("held_out")["unit"]) == corpus.held_out_units
    seen = "".join("".join(text.split()) for text in corpus.files("train")["text"])
    for row in held_out:
        assert "".join(row["code"].split("\n", 1)[1].split()) not in seen
    # The comparison can fail: code of the training split is found.
    assert "".join(train[0]["code"].split("\n", 1)[1].split()) in seen


def test_code_of_two_units_is_never_held_out(source, tmp_path):
    files, _ = collect_folders([source], ("python",), None, 250_000, Counter())
    outcomes = [_process(file, 250_000) for file in files]
    held = set()
    for seed in range(12):
        builder = CorpusBuilder(tmp_path / str(seed))
        with builder:
            for outcome in outcomes:
                builder.add(outcome)
        report = builder.finish(Counter(), 0.4, 8, seed)
        corpus = Corpus(builder.folder)
        names = corpus.functions("held_out")["name"][:]
        assert "measure_3_1_0" not in names
        assert report["held_out"]["pairs"] == len(names)
        assert report["languages"]["python"]["pairs"] == len(names) + len(corpus.functions("train"))
        held.update(names)
    assert {"measure_3_1_1", "copies_more"} <= held  # their neighbours in both units were


def test_the_rows_do_not_depend_on_the_number_of_processes(source, tmp_path):
    one = contents(run(source, tmp_path / "one", languages=("python", "java"), num_proc=1))
    three = contents(run(source, tmp_path / "three", languages=("python", "java"), num_proc=3))
    assert one == three
    assert {"report.json", "held_out.json", "files/part-00000.parquet", "functions/part-00000.parquet"} == set(one)


def test_a_file_that_its_worker_did_not_survive_is_counted(tmp_path):
    builder = CorpusBuilder(tmp_path)
    file = SourceFile("", "python", "lib/a.py", "MIT", "lib")
    with builder:
        builder.add(Outcome(file, skipped="crash"))
        builder.add(Outcome(file, skipped="time_limit"))
    assert builder.languages["python"].skipped == {"crash": 1, "time_limit": 1}
    assert builder.languages["python"].files == builder.files.rows == 0


def test_a_dataset_is_extracted_by_repository(tmp_path):
    rows = [
        {
            "content": function(f"measure_{i}_{j}"),
            "lang": "Python",
            "max_stars_repo_path": f"src/{j}.py",
            "max_stars_repo_name": f"someone/project{i}",
            "max_stars_repo_licenses": ["MIT"],
        }
        for i in range(10)
        for j in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "stack.parquet")
    stack = {"source": (), "dataset": str(tmp_path / "stack.parquet")}
    corpus = Corpus(run(None, tmp_path / "corpus", **stack))
    assert all(unit.startswith("someone/project") for unit in corpus.held_out_units)
    assert len(corpus.held_out_units) == 2  # a fifth of thirty pairs, three in a repository
    assert set(corpus.functions("train")["licence"]) == {"MIT"}
    assert len(corpus.functions("train")) == 24
    limited = Corpus(run(None, tmp_path / "few", **stack, max_files=20))
    assert len(limited.files("train")) + len(limited.files("held_out")) == 20


def test_a_small_corpus_says_that_less_is_held_out(source, tmp_path, capsys):
    run(source, tmp_path / "corpus", min_held_out=500)
    assert "pairs are held out, not 500: this source is small" in capsys.readouterr().out


def test_no_file_no_pair_and_one_unit_are_errors_that_leave_nothing(tmp_path):
    empty, plain, single = tmp_path / "empty", tmp_path / "plain", tmp_path / "single"
    write(empty / "notes.txt", "nothing to see")
    write(empty / "A.java", JAVA)
    for i in range(3):
        write(plain / f"m{i}.py", UNDOCUMENTED + f"x = {i}\n" * 9, ONE_LINE)
    write(single / "m.py", *(function(f"measure_{i}") for i in range(20)))
    with pytest.raises(ValueError, match=r"no source file of python in .*empty \(1 not_selected\): choose"):
        run(empty, tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"no documented function passed .* 3 files of .*plain \(3 body_too_short\)"):
        run(plain, tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"20 documented functions in 1 modules .* too few to hold some out"):
        run(single, tmp_path / "corpus")
    with pytest.raises(ValueError, match="nowhere is missing"):
        run(tmp_path / "nowhere", tmp_path / "corpus")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "plain", "single"]


def test_an_output_with_something_in_it_is_not_touched(source, tmp_path):
    output = tmp_path / "corpus"
    write(output / "precious.txt", "mine")
    with pytest.raises(ValueError, match="corpus is already there: remove it, or choose another output folder"):
        run(source, output)
    assert contents(output) == {"precious.txt": b"mine"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": ("python", "klingon")}, "unknown language 'klingon'; known languages: .*python"),
        ({"languages": ()}, "languages is empty"),
        ({"dataset": "some/dataset"}, "source and dataset exclude each other"),
        ({"held_out_share": 0.0}, "held_out_share must be positive and at most 0.5, not 0.0"),
        ({"held_out_share": 0.6}, "held_out_share must be positive and at most 0.5, not 0.6"),
        ({"num_proc": 0}, "num_proc must be at least 1, not 0"),
        ({"max_file_bytes": -1}, "max_file_bytes must be at least 1, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        ExtractConfig(**({"output": Path("x"), "source": ("lib",)} | settings))


def test_languages_are_known_by_their_aliases():
    assert ExtractConfig(output=Path("x"), languages=("Python", "py", "Java")).languages == ("python", "java")
    assert dataclasses.replace(ExtractConfig(output=Path("x")), seed=1).languages == ("python", "java")


def test_a_killed_run_leaves_no_output_and_the_next_one_is_whole(source, tmp_path):
    output = tmp_path / "corpus"
    code = (
        "from pathlib import Path\n"
        "from open_codesage.train.corpus.extract import ExtractConfig, main\n"
        f"main(ExtractConfig(output=Path({str(output)!r}), num_proc=1))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    aside = tmp_path / ".corpus.partial"
    try:
        for _ in range(600):
            if (aside / "functions").exists():
                break
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert aside.exists()
    assert not output.exists()
    run(source, output)
    assert not aside.exists()
    assert len(Corpus(output).functions("train")) > 50
