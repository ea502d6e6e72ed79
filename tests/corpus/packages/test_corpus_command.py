"""The command `corpus`: from a recipe and archives to a corpus folder that every later step reads."""

import csv
import json
import runpy
import shutil
from collections import Counter
from pathlib import Path

import pytest
from open_codesage.train import cli
from open_codesage.train.corpus.corpus import Corpus
from open_codesage.train.corpus.packages import build, download, harvest, report
from open_codesage.train.corpus.packages.build import CorpusConfig, main
from open_codesage.train.corpus.packages.recipe import Package, read_packages, write_packages

stand_ins = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "registry_stand_ins.py"))
VERBS = ("collect", "reduce", "compare", "publish", "arrange", "inspect", "balance", "convert", "measure", "project")


JAVASCRIPT = """/**
 * Adds the weights of all items.
 */
function weigh(items) {
  let sum = 0;
  for (const item of items) {
    sum += item.weight;
  }
  return sum;
}
"""


def function(name, number):
    """A documented function with a body that is like no other's."""
    one, two, three = (VERBS[(number + step) % 10] + f"_{number // 10}{letter}" for step, letter in enumerate("abc"))
    return (
        f"def {name}({one}, {two}):\n"
        f'    """Find what {one} and {two} have in common for {name}."""\n'
        f"    {three} = {one}.{two}_of({number})\n"
        f"    for {one}_item in {two}[{three}:]:\n"
        f"        if {one}_item.{three} > {one}.limit_{number}:\n"
        f"            {three} += {two}_total({one}_item, {number})\n"
        f"    return {three} - {number}\n"
    )


def module(*numbers):
    return "\n\n".join(function(f"{VERBS[number % 10]}_{number}", number) for number in numbers)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a recipe, a filled cache, an evaluation set, and the corpus of them.

    The recipe has three wheels and an npm package that come. `held` and `alpha` share a module, `alpha` and `beta` have
    one that differs in a name, `alpha` has a function of the evaluation set, `beta` a file under another licence.
    """
    folder = tmp_path_factory.mktemp("made")
    shared, near = module(900, 901, 902, 903, 904), module(800, 801, 802, 803, 804, 805, 806)
    packages = {
        "alpha": {
            **{f"alpha/m{i}.py": module(*range(10 * i, 10 * i + 4)) for i in range(6)},
            "alpha/shared.py": shared,
            "alpha/near.py": near,
            "alpha/evaluated.py": module(700, 701),
        },
        "beta": {
            **{f"beta/m{i}.py": module(*range(10 * i, 10 * i + 4)) for i in range(10, 12)},
            "beta/near.py": near.replace("limit_806", "bound_806"),
            "beta/gpl.py": "# GNU General Public License\n" + module(1),
        },
        "held": {"held/a.py": "# Copyright 2020 me@corp.com\n" + shared, "held/b.py": module(210, 211)},
    }
    entries = [Package("pip", name, ("python",), "MIT", held_out=name == "held") for name in packages]
    entries += [
        Package("npm", "scales", ("javascript",), "MIT OR GPL-2.0-only"),
        Package("npm", "gone", ("javascript",), "MIT"),
        Package("pip", "copyleft", ("python",), "GPL-3.0-only"),
    ]
    write_packages(folder / "recipe.yaml", entries)
    (folder / "sets" / "search").mkdir(parents=True)
    row = {"_id": "q1", "text": function("renamed", 700), "language": "python"}
    (folder / "sets" / "search" / "corpus.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        stand_ins["install_clients"](folder / "clients", folder / "registry", patch)
        for name, files in packages.items():
            stand_ins["wheel"](folder / "registry" / "pip", name, "1.0", files)
        stand_ins["tar"](folder / "registry" / "npm" / "scales@2.0.tgz", {"package/a.js": JAVASCRIPT})
        build_corpus(folder / "recipe.yaml", decontaminate=(str(folder / "sets"),))
    return folder


@pytest.fixture
def corpus(made):
    return made / "corpus"


@pytest.fixture
def recipe(made, tmp_path, monkeypatch):
    """The recipe of what was got, in a folder of its own, where no client may be called."""
    for name in ("cache", "sets"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.copy(made / "corpus" / "packages.yaml", tmp_path / "recipe.yaml")
    monkeypatch.setattr(download, "_run", None)
    monkeypatch.setattr(report, "_plot", lambda *_: None)  # a second for each corpus
    return tmp_path / "recipe.yaml"


def build_corpus(recipe, name="corpus", **settings):
    settings = {"cache": recipe.parent / "cache", "num_proc": 1, "test_share": 1.0} | settings
    return main(CorpusConfig(recipe=recipe, output=recipe.parent / name, **settings))


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def paths(rows):
    return sorted(row.split("/", 2)[2] for row in rows["path"])


def test_the_corpus_holds_whole_packages_in_two_splits_without_what_is_there_twice(corpus):
    opened = Corpus(corpus)
    files = {split: opened.files(split) for split in ("train", "held_out")}
    assert opened.held_out_units == {"pip/held"}
    assert paths(files["held_out"]) == ["held/a.py", "held/b.py"]  # what it shares is left out of training
    training = [*(f"alpha/m{i}.py" for i in range(6)), "alpha/near.py", "beta/m10.py", "beta/m11.py", "a.js"]
    assert paths(files["train"]) == sorted(training)
    assert set(files["train"]["package"]) == {"alpha", "beta", "scales"}
    assert set(files["train"]["version"]) == {"1.0", "2.0"}
    pairs = opened.functions("train")
    assert set(pairs["licence"]) == {"MIT", "MIT OR GPL-2.0-only"}
    codes = ["".join(code.split()) for split in ("train", "held_out") for code in opened.functions(split)["code"]]
    assert len(codes) == len(set(codes))
    # The lines of a row are those of the package's file, whose header is cut here.
    [first] = [
        row for row in opened.functions("held_out") if row["path"].endswith("a.py") and row["name"].endswith("900")
    ]
    assert first["start_line"] == 2
    assert "corp.com" not in "".join(files["held_out"]["text"])


def test_what_an_evaluation_set_holds_is_removed_and_listed(corpus, recipe):
    lines = list(csv.DictReader((corpus / "contamination.tsv").open(), dialect="excel-tab"))
    assert [(line["kind"], line["path"], line["evaluation"]) for line in lines] == [
        ("file", "pip/alpha/alpha/evaluated.py", "search/corpus/q1"),
        ("function", "pip/alpha/alpha/evaluated.py", "search/corpus/q1"),
    ]
    names = Corpus(corpus).functions("train")["name"]
    assert "collect_700" not in names
    assert "reduce_701" in names  # the other function of the file stays
    assert "collect_700" in Corpus(build_corpus(recipe)).functions("train")["name"]


def test_the_report_counts_everything(corpus):
    counted = report_of(corpus)
    python = counted["languages"]["python"]
    assert python["skipped"] == {"other_licence": 1, "duplicate": 1, "near_duplicate": 1, "contaminated": 1}
    assert (python["files"], python["packages"], python["headers"], python["addresses"]) == (11, 3, 1, 0)
    removed = sum(python["rejected"].values()) + python["duplicates"] + python["near_duplicates"]
    assert python["documented"] == removed + python["contaminated"] + python["pairs"]
    assert python["pairs"] + counted["languages"]["javascript"]["pairs"] == sum(
        len(Corpus(corpus).functions(split)) for split in ("train", "held_out")
    )
    assert counted["packages"]["other_licence"] == ["pip/copyleft"]
    assert [*counted["packages"]["missing"]] == ["npm/gone"]
    text = (corpus / "report.md").read_text()
    for word in ("alpha", "npm/gone", "pip/copyleft", "near_duplicate", "sizes.png"):
        assert word in text
    assert (corpus / "pairs.md").read_text().count("\n> ") == 21  # twenty of Python, one of JavaScript
    for plot in ("sizes", "filters", "lengths"):
        assert (corpus / f"{plot}.png").read_bytes().startswith(b"\x89PNG")


def test_the_versions_that_were_got_rebuild_the_same_rows_offline_with_more_processes(corpus, recipe):
    versions = {one.unit: one.version for one in read_packages(recipe)}
    assert versions == {"pip/alpha": "1.0", "pip/beta": "1.0", "pip/held": "1.0", "npm/scales": "2.0"}
    again = build_corpus(recipe, num_proc=2, decontaminate=(str(recipe.parent / "sets"),))
    for part in (*sorted(corpus.glob("f*/*.parquet")), corpus / "held_out.json"):
        assert part.read_bytes() == (again / part.relative_to(corpus)).read_bytes()


def test_an_interrupted_run_goes_on_at_the_package_where_it_was(corpus, recipe, monkeypatch):
    sets = (str(recipe.parent / "sets"),)
    reading, read = [], harvest.read_package

    def interrupted(downloaded, *arguments):
        reading.append(downloaded.package.unit)
        if downloaded.package.unit == "pip/held" and reading.count("pip/held") == 1:
            raise KeyboardInterrupt
        yield from read(downloaded, *arguments)

    monkeypatch.setattr(harvest, "read_package", interrupted)
    monkeypatch.setattr(harvest, "_BATCH", 1)
    monkeypatch.setattr("open_codesage.train.common.workers._WINDOW", 1)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(recipe, decontaminate=sets)
    assert not (recipe.parent / "corpus").exists()
    done = {path.name for path in (recipe.parent / ".corpus.work" / "packages").iterdir()}
    assert "pip+alpha" in done
    reading[:] = ["pip/held"]
    resumed = build_corpus(recipe, decontaminate=sets)
    assert "pip/alpha" not in reading
    for part in sorted(corpus.glob("f*/*.parquet")):
        assert part.read_bytes() == (resumed / part.relative_to(corpus)).read_bytes()
    assert not (recipe.parent / ".corpus.work").exists()


def test_a_damaged_archive_costs_its_package_only(recipe):
    archive = next((recipe.parent / "cache" / "npm" / "scales").glob("*.tgz"))
    archive.write_bytes(archive.read_bytes()[:40])
    failed = report_of(build_corpus(recipe))
    assert [*failed["packages"]["without_files"]] == ["npm/scales"]
    assert "damaged" in failed["packages"]["without_files"]["npm/scales"]


def test_a_large_package_is_cut_to_its_share(recipe):
    cut = build_corpus(recipe, package_share=0.6, package_megabytes=0.0)
    files = Corpus(cut).files("train", ["python"])
    sizes = Counter()
    for unit, text in zip(files["unit"], files["text"], strict=True):
        sizes[unit] += len(text)
    assert 0.4 < sizes["pip/alpha"] / sizes.total() <= 0.62
    counts = report_of(cut)["languages"]["python"]
    assert counts["skipped"]["over_package_share"] == 8 - Counter(files["unit"])["pip/alpha"] > 0
    assert counts["with_their_file"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"licenses": ("Zlib",)}, "no package .* is selected"),
        ({"languages": ("ruby",)}, "no package .* is selected"),
        ({"languages": ("javascript",)}, "held_out: true"),
        ({"decontaminate": ("nowhere",)}, "no evaluation set"),
    ],
)
def test_errors_say_what_is_wrong_and_leave_no_corpus(recipe, settings, message):
    with pytest.raises(ValueError, match=message):
        build_corpus(recipe, **settings)
    assert not (recipe.parent / "corpus").exists()


def test_missing_libraries_are_named_with_the_remedy(recipe, monkeypatch, capsys):
    monkeypatch.setattr(build, "_LIBRARIES", ("no_such_library",))
    assert cli.main(["corpus", str(recipe), "--output", str(recipe.parent / "corpus")]) == 1
    assert "open-codesage[corpus]" in capsys.readouterr().err
