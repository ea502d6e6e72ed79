"""Other engines give the rows of `extract`: datasets.map, and datatrove with a rank that is stopped and done again."""

import json
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from datasets import Dataset
from open_codesage.train.corpus.corpus import FUNCTION_COLUMNS, Corpus
from open_codesage.train.corpus.extract import ExtractConfig, main
from open_codesage.train.corpus.scale import extract_batch, join

EXAMPLE = Path(__file__).parents[2] / "docs" / "cluster" / "extract_the_stack.py"
LANGUAGES = ("python", "ruby")
RUBY = "# Adds two numbers of a list together.\ndef add(a, b)\n  c = a + b\n  puts c\n  c * %d\nend\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Four files of a dataset in The Stack's schema, with rows that are left out, and what `extract` makes of it."""
    folder = tmp_path_factory.mktemp("scale")
    library = Path(sysconfig.get_path("stdlib"))
    modules = (
        "argparse",
        "ast",
        "bisect",
        "copy",
        "csv",
        "enum",
        "gzip",
        "heapq",
        "shelve",
        "shutil",
        "tarfile",
        "zipfile",
    )
    rows = [{"content": (library / f"{name}.py").read_text("utf-8"), "lang": "Python"} for name in modules]
    rows += [{"content": RUBY % number, "lang": "Ruby"} for number in range(8)]
    rows += [{"content": "binary\0" * 99, "lang": "Python"}, {"content": "SELECT 1", "lang": "SQL"}]
    for number, row in enumerate(rows):
        row |= {"max_stars_repo_name": f"user/repo{number % 7}", "max_stars_repo_path": f"{number}.x"}
        row |= {"max_stars_repo_licenses": ["MIT"]}
    (folder / "stack").mkdir()
    for part in range(4):
        Dataset.from_list(rows[part::4]).to_parquet(folder / "stack" / f"{part}.parquet")
    config = {"output": folder / "corpus", "dataset": str(folder / "stack"), "languages": LANGUAGES}
    main(ExtractConfig(**config, min_held_out=5, num_proc=1))
    return folder


def functions(corpus: Path) -> list[str]:
    rows = [row for split in ("train", "held_out") for row in Corpus(corpus).functions(split)]
    return sorted(json.dumps([row[name] for name in FUNCTION_COLUMNS]) for row in rows)


def files(corpus: Path) -> list[str]:
    return sorted(row["path"] for split in ("train", "held_out") for row in Corpus(corpus).files(split))


def test_datasets_map_gives_the_rows_of_extract(stack):
    dataset = Dataset.from_parquet([str(path) for path in sorted((stack / "stack").glob("*.parquet"))])
    rows = dataset.map(
        extract_batch,
        batched=True,
        batch_size=6,
        with_indices=True,
        remove_columns=dataset.column_names,
        num_proc=2,
        fn_kwargs={"languages": LANGUAGES},
    )
    expected = functions(stack / "corpus")
    assert len(expected) > 100
    assert sorted(json.dumps([row[name] for name in FUNCTION_COLUMNS]) for row in rows) == expected


@pytest.fixture(scope="module")
def pipeline(stack):
    """Run the example; its rank 1 is stopped once, in the middle, and the example started again."""
    broken = stack / "stack" / "1.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    ranks, corpus = stack / "ranks", stack / "joined"
    command = [sys.executable, str(EXAMPLE), str(stack / "stack"), str(ranks), str(corpus)]
    command += ["--tasks", "4", "--workers", "1", "--languages", *LANGUAGES]
    first = subprocess.run(command, capture_output=True, text=True)
    done = {path.name: path.stat().st_ino for path in ranks.glob("rank-*")}
    broken.write_bytes(whole)
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr[-3000:]
    return first, done


def test_datatrove_gives_the_rows_of_extract_also_after_an_interruption(stack, pipeline):
    first, done = pipeline
    assert first.returncode != 0
    assert not list(stack.glob("ranks/.rank-*"))
    assert list(done) == ["rank-00000"]
    assert (stack / "ranks" / "rank-00000").stat().st_ino == done["rank-00000"]  # Not written again.
    assert functions(stack / "joined") == functions(stack / "corpus")
    assert files(stack / "joined") == files(stack / "corpus")


def test_the_joined_report_counts_all_ranks(stack, pipeline):
    joined, whole = (
        json.loads((stack / name / "report.json").read_text())["languages"] for name in ("joined", "corpus")
    )
    assert joined == whole
    assert joined["python"]["skipped"] == {"binary": 1}


def test_units_are_held_out_by_their_names(stack, pipeline, tmp_path):
    shares = {}
    for share in (0.0, 0.5, 1.0):
        corpus = join(stack / "ranks", tmp_path / str(share), share)
        shares[share] = set(json.loads((corpus / "held_out.json").read_text())["units"])
    assert shares[0.0] < shares[0.5] < shares[1.0]
    assert len(shares[1.0]) == 7


def test_nothing_is_joined_before_all_ranks_are_finished(tmp_path):
    (tmp_path / "ranks" / "rank-00000").mkdir(parents=True)
    (tmp_path / "ranks" / ".rank-00001.partial").mkdir()
    with pytest.raises(ValueError, match="holds no ranks, or unfinished ones"):
        join(tmp_path / "ranks", tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_the_example_explains_itself():
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["extract_the_stack.py", "--help"])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
