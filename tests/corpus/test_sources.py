"""Source files are found, read and judged; what is left out is counted, and nothing outside the sources is touched."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from open_codesage.train.corpus import json_rows
from open_codesage.train.corpus.rules import REASONS
from open_codesage.train.corpus.sources import SkippedFile, SourceFile, collect_folders, read, stream_dataset

CODE = "def area(width, height):\n    result = width * height\n    return result\n"
LIMIT = 10_000


def write(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py").replace("_java", ".java")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def collect(*folders, languages=("python",), licence=None):
    skipped = Counter()
    files, size = collect_folders(folders, languages, licence, LIMIT, skipped)
    return files, size, skipped


def test_files_of_the_languages_come_in_order_with_path_unit_and_licence(tmp_path):
    root = write(tmp_path / "lib", b__z_py=CODE, a_py=CODE, b__C_java=CODE, notes="text", b__x_py=CODE)
    files, size, skipped = collect(root, languages=("python", "java"), licence="MIT")
    assert [(file.path, file.language) for file in files] == [
        ("lib/a.py", "python"),
        ("lib/b/C.java", "java"),
        ("lib/b/x.py", "python"),
        ("lib/b/z.py", "python"),
    ]
    assert {file.licence for file in files} == {"MIT"}
    assert files[0].unit == "lib/a.py"
    assert size == 4 * len(CODE)
    assert not skipped
    assert read(files[0], LIMIT) == CODE


def test_a_language_that_is_not_selected_is_counted(tmp_path):
    files, _, skipped = collect(write(tmp_path / "lib", a_py=CODE, B_java=CODE, C_java=CODE))
    assert [file.path for file in files] == ["lib/a.py"]
    assert skipped == {("java", "not_selected"): 2}


def test_a_header_is_of_the_language_that_its_text_tells(tmp_path):
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "a.h").write_text("/* A header of C. */\nint depot_weigh(const struct box *box, int unit);\n" * 2)
    (folder / "b.h").write_text("// A header of C++.\nnamespace depot {\nint weigh(const Box& box, int unit);\n}\n" * 2)
    (folder / "c.h").symlink_to(folder / "b.h")
    for language, name in (("c", "a.h"), ("cpp", "b.h")):
        files, _, skipped = collect(folder, languages=(language,))
        assert [(file.path, file.language) for file in files] == [(f"lib/{name}", language)]
        assert skipped.total() == 2


def test_the_default_source_is_the_standard_library_without_its_tests():
    files, size = collect_folders((), ("python",), None, 250_000, Counter())
    paths = [file.path.partition("/")[2] for file in files]
    assert {"argparse.py", "json/decoder.py"} <= set(paths)
    folders = {folder for path in paths for folder in path.split("/")[:-1]}
    assert folders.isdisjoint({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
    assert {file.licence for file in files} == {"PSF-2.0"}
    assert size > 5_000_000


def test_tests_of_other_sources_are_kept(tmp_path):
    files, *_ = collect(write(tmp_path / "lib", tests__a_py=CODE))
    assert [file.path for file in files] == ["lib/tests/a.py"]


@pytest.mark.parametrize("folder", [".git", "node_modules", "vendor", "Vendor", "third_party", "site-packages"])
def test_folders_of_other_code_are_skipped_below_the_root_only(tmp_path, folder):
    inside, outside = tmp_path / "lib" / folder / "deep", tmp_path / folder
    for place in (inside, outside):
        place.mkdir(parents=True, exist_ok=True)
        (place / "a.py").write_text(CODE)
    files, _, skipped = collect(tmp_path / "lib")
    assert files == []
    assert skipped == {("", "vendored"): 1}, "no folder is left out in silence"
    assert len(collect(outside)[0]) == 1


def test_a_virtual_environment_of_any_name_is_skipped(tmp_path):
    root = write(tmp_path / "lib", a_py=CODE, env__lib__b_py=CODE)
    assert len(collect(root)[0]) == 2
    (root / "env" / "pyvenv.cfg").touch()
    assert len(collect(root)[0]) == 1


def test_symbolic_links_are_not_followed(tmp_path):
    root = write(tmp_path / "lib", a_py=CODE, sub__b_py=CODE)
    write(tmp_path / "outside", secret_py=CODE)
    (root / "sub" / "loop").symlink_to(root, target_is_directory=True)
    (root / "elsewhere").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "link.py").symlink_to(tmp_path / "outside" / "secret.py")
    (root / "broken.py").symlink_to(tmp_path / "nowhere.py")
    files, _, skipped = collect(root)
    assert [file.path for file in files] == ["lib/a.py", "lib/sub/b.py"]
    assert skipped == {("python", "symbolic_link"): 2}


def test_a_pipe_is_not_read(tmp_path):
    root = write(tmp_path / "lib", a_py=CODE)
    os.mkfifo(root / "pipe.py")
    files, _, skipped = collect(root)
    assert [file.path for file in files] == ["lib/a.py"]
    assert skipped == {("python", "not_a_regular_file"): 1}


def test_an_unreadable_folder_is_counted(tmp_path, monkeypatch):
    root = write(tmp_path / "lib", a_py=CODE, locked__b_py=CODE)
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # permissions do not bind a superuser, who may run the tests
    files, _, skipped = collect(root)
    assert [file.path for file in files] == ["lib/a.py"]
    assert skipped == {("", "unreadable"): 1}


def test_a_file_name_that_is_not_utf8_becomes_text(tmp_path):
    root = tmp_path / "lib"
    root.mkdir()
    (root / os.fsdecode(b"caf\xe9.py")).write_text(CODE)
    (file,) = collect(root)[0]
    assert file.path == "lib/caf\N{REPLACEMENT CHARACTER}.py"
    assert read(file, LIMIT) == CODE


def test_sources_of_one_name_are_told_apart_and_one_given_twice_is_read_once(tmp_path):
    first, second = write(tmp_path / "x" / "src", a_py=CODE), write(tmp_path / "y" / "src", a_py=CODE)
    assert [file.path for file in collect(first, second, first)[0]] == ["src-2/a.py", "src/a.py"]


def test_a_missing_source_and_a_file_as_source_are_errors(tmp_path):
    with pytest.raises(ValueError, match="nowhere is missing: --source takes existing folders"):
        collect(tmp_path / "nowhere")
    (tmp_path / "a.py").write_text(CODE)
    with pytest.raises(ValueError, match=r"a\.py is not a folder"):
        collect(tmp_path / "a.py")


def long(line_length, lines):
    return "\n".join("x" * line_length for _ in range(lines))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.py", CODE.encode() + b"\0", "binary"),
        ("a.py", CODE.encode("utf-16"), "binary"),
        ("a.py", CODE.encode() + b"# caf\xe9\n", "not_utf8"),
        ("a.py", b"x = 1\n", "too_small"),
        ("a.py", CODE.encode() * 200, "too_large"),
        ("a.py", (CODE + "x = " + "1" * 1000).encode(), "minified"),
        ("a.py", long(121, 20).encode(), "minified"),
        ("jquery.min.js", CODE.encode(), "generated"),
        ("index.d.ts", CODE.encode(), "generated"),
        ("message_pb2.py", CODE.encode(), "generated"),
        ("a.py", b"# Code generated by protoc-gen-go. DO NOT EDIT.\n" + CODE.encode(), "generated"),
        ("a.py", b"# This file is auto-generated\n" + CODE.encode(), "generated"),
        ("a.py", b"/* @generated */\n" + CODE.encode(), "generated"),
        ("a.py", b"# Codec generated from 'MAPPINGS/CP1250.TXT' with gencodec.py.\n" + CODE.encode(), "generated"),
        ("a.py", b"\xef\xbb\xbf" + CODE.encode(), None),
        ("a.py", long(120, 20).encode(), None),
        ("a.py", (CODE + "x = " + "1" * 996 + "\n" * 20).encode(), None),
        ("admin.py", CODE.encode(), None),
        ("a.py", b"# Events that are generated by the parser end here. Edit them.\n" + CODE.encode(), None),
        ("a.py", CODE.encode() * 20 + b"# DO NOT EDIT\n", None),
    ],
)
def test_every_rule_rejects_what_it_names_and_no_more(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    file = SourceFile(path, "python", f"lib/{name}", "MIT", "lib")
    if reason is None:
        assert read(file, LIMIT) == content.decode("utf-8-sig")
    else:
        assert reason in REASONS
        with pytest.raises(SkippedFile) as skipped:
            read(file, LIMIT)
        assert skipped.value.reason == reason


def test_a_file_that_vanishes_is_unreadable(tmp_path):
    with pytest.raises(SkippedFile, match="unreadable"):
        read(SourceFile(tmp_path / "gone.py", "python", "lib/gone.py", "MIT", "lib"), LIMIT)


STACK = [
    {
        "content": CODE,
        "lang": "Python",
        "max_stars_repo_path": "src/a.py",
        "max_stars_repo_name": "someone/geometry",
        "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
        "size": 70,
    },
    {
        "content": "class A {}",
        "lang": "Java",
        "max_stars_repo_path": "src/A.java",
        "max_stars_repo_name": "someone/other",
        "max_stars_repo_licenses": [],
        "size": 10,
    },
    {
        "content": "<?php",
        "lang": "PHP",
        "max_stars_repo_path": None,
        "max_stars_repo_name": None,
        "max_stars_repo_licenses": None,
        "size": 5,
    },
]


def save(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["stack.parquet", "stack.jsonl", "stack.jsonl.gz", "stack.json"])
def test_the_stack_is_read_from_every_local_format(tmp_path, name):
    skipped = Counter()
    dataset = save(tmp_path / name, STACK)
    files = list(stream_dataset(dataset, ("python", "java"), skipped, licence="BSD-3-Clause"))
    assert files == [
        SourceFile(CODE, "python", "someone/geometry/src/a.py", "MIT, Apache-2.0", "someone/geometry"),
        SourceFile("class A {}", "java", "someone/other/src/A.java", "BSD-3-Clause", "someone/other"),
    ]
    assert sum(skipped.values()) == 1
    assert next(iter(skipped))[1] == "not_selected"


def test_without_a_repository_the_unit_is_the_first_part_of_the_path_and_without_a_path_the_row(tmp_path):
    rows = [
        {"content": CODE, "lang": "python", "path": "geometry/src/a.py", "license": "MIT"},
        {"content": CODE, "lang": "py", "path": None, "license": None},
    ]
    first, second = stream_dataset(save(tmp_path / "d.jsonl", rows), ("python",), Counter())
    assert (first.path, first.unit, first.licence) == ("geometry/src/a.py", "geometry", "MIT")
    assert (second.path, second.unit, second.licence) == ("row-2", "row-2", "unknown")


def test_a_folder_of_parts_is_streamed_part_by_part(tmp_path):
    folder = tmp_path / "dataset"
    save(folder / "a.parquet", STACK[:1])
    save(folder / "data" / "b.parquet", STACK[1:2])
    files = list(stream_dataset(str(folder), ("python", "java"), Counter()))
    assert [file.language for file in files] == ["python", "java"]
    (folder / "data" / "b.parquet").write_bytes(b"damaged")
    stream = stream_dataset(str(folder), ("python", "java"), Counter())
    assert next(stream).language == "python"  # a download of everything would have met the damaged part first
    with pytest.raises(ValueError, match="cannot be read"):
        next(stream)


def test_rows_without_text_or_with_half_a_surrogate_pair_are_counted(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"content": null, "lang": "python"}\n{"content": "a = 1", "lang": "python"}\n')
    nothing, something = stream_dataset(str(path), ("python",), Counter())
    assert something.content == "a = 1"
    with pytest.raises(SkippedFile, match="not_utf8"):
        read(nothing, LIMIT)
    with pytest.raises(SkippedFile, match="not_utf8"):
        read(SourceFile(CODE + "\ud83d", "python", "d/a.py", "MIT", "d"), LIMIT)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", b'{"text": "a = 1", "lang": "python"}\n', "has no column content, only lang, text"),
        ("d.jsonl", b'{"content": "a = 1", "language": "python"}\n', "has no column lang"),
        ("d.jsonl", b'{"content": "a = 1", "lang"', "no line of it is a JSON object"),
        ("d.parquet", b"PAR1 this is not parquet", "cannot be"),
        ("d.jsonl", b"", "empty"),
        ("d.csv", b"content,lang\n", r"must be a \.parquet or \.jsonl file"),
    ],
)
def test_a_malformed_dataset_is_an_error_that_names_it(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        list(stream_dataset(str(tmp_path / name), ("python",), Counter()))
    assert name in str(error.value)


def test_a_missing_dataset_file_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.parquet is missing"):
        list(stream_dataset(str(tmp_path / "nowhere.parquet"), ("python",), Counter()))


def test_a_hub_dataset_that_can_not_be_reached_is_an_error_with_a_remedy():
    code = (
        "from collections import Counter\n"
        "from open_codesage.train.corpus.sources import stream_dataset\n"
        "try: list(stream_dataset('nobody/no-such-dataset', ('python',), Counter()))\n"
        "except ValueError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "the dataset nobody/no-such-dataset cannot be opened" in result.stdout
    assert "give a Hub id or a local file" in result.stdout


def deep(folder, levels, name):
    """Make folders in folders, and a file in the last one, without ever using a long path."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    with os.fdopen(os.open("deep.py", os.O_CREAT | os.O_WRONLY, dir_fd=here), "w") as file:
        file.write(CODE)
    os.close(here)


@pytest.fixture
def deep_tree(tmp_path):
    """A folder that goes again by a tool that does not recurse: shutil.rmtree of Python 3.11 does."""
    yield tmp_path / "tree"
    subprocess.run(["rm", "-rf", str(tmp_path / "tree")], check=True)


@pytest.mark.parametrize(("levels", "name", "reached"), [(1300, "d", True), (3000, "d", False), (60, "d" * 200, False)])
def test_deep_folders_are_walked_as_far_as_the_system_goes(deep_tree, levels, name, reached):
    write(deep_tree, **{"z/shallow.py": CODE})
    deep(deep_tree, levels, name)
    files, _, skipped = collect(deep_tree)
    assert [file.path.rpartition("/")[2] for file in files] == [*["deep.py"] * reached, "shallow.py"]
    assert skipped["", "unreadable"] == (not reached)


def test_a_deep_folder_of_a_dataset_is_walked(deep_tree):
    save(deep_tree / "a.jsonl", STACK[:1])
    deep(deep_tree, 1300, "d")
    assert len(list(stream_dataset(str(deep_tree), ("python", "java"), Counter()))) == 1


ROW = '{"content": "a = 1", "lang": "python", "path": "good.py"}'


@pytest.mark.parametrize(
    "line",
    [
        '{"content": "x", "lang": "python", "meta": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"content": "x", "lang": "python", "meta": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
        '{"content": ' + "[" * 5000 + "]" * 5000 + ', "lang": "python"}',
        '{"content": "x", "lang": ' + "[" * 5000 + "]" * 5000 + "}",
        "[" * 100_000,
        '{"content": "x", "lang"',
        "[1, 2]",
        "7",
        '{"content": "x", "n": ' + "9" * 5000 + "}",
        "\udcff\udcfe",
    ],
)
@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.jsonl.gz"])
def test_a_row_that_cannot_be_read_costs_itself(tmp_path, line, name):
    data = f"{ROW}\n\n{line}\n{ROW}\n".encode(errors="surrogateescape")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    skipped = Counter()
    files = list(stream_dataset(str(tmp_path / name), ("python",), skipped))
    assert [file.path for file in files] == ["good.py", "good.py"]
    assert skipped == {("unknown", "unreadable"): 1}


def test_a_line_longer_than_any_file_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "LONGEST", 1000)
    (tmp_path / "d.jsonl").write_text(f'{{"content": "{"x" * 5000}", "lang": "python"}}\n{ROW}\n')
    skipped = Counter()
    (file,) = stream_dataset(str(tmp_path / "d.jsonl"), ("python",), skipped)
    assert (file.content, skipped) == ("a = 1", {("unknown", "unreadable"): 1})


def test_a_cut_archive_of_rows_is_an_error(tmp_path):
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(f"{ROW}\n".encode() * 9000, mtime=0)[:-20])
    with pytest.raises(ValueError, match=r"d\.jsonl\.gz cannot be read"):
        list(stream_dataset(str(tmp_path / "d.jsonl.gz"), ("python",), Counter()))
