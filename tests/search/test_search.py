"""The index agrees with the tree and the model, whatever happened on the way; its ranking is that of the formulas."""

import ast
import json
import math
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import time
from importlib import resources
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageModel
from open_codesage.tokenization import extract_functions, language_of_path
from open_codesage.tokenization.tokenizer import train_tokenizer
from open_codesage.train import cli
from open_codesage.train.retrieval.bm25 import split_words
from open_codesage.train.retrieval.encoder import Encoder
from open_codesage.train.search import chunks, files, index, released
from open_codesage.train.search.database import NAME, Store
from open_codesage.train.search.index import Index
from sentence_transformers import SentenceTransformer

AREA = '''import math


def circle_area(radius):
    """Compute the area of a circle."""
    return math.pi * radius * radius


class Door:
    @property
    def width(self):
        return self._width

    def open_slowly(self, seconds):
        """Open the door within some time."""
        for angle in range(90):
            self.turn(angle, seconds / 90)
'''
SHOP = """class Shop {
    /** Sum up the prices in a basket. */
    int total(int[] basket) { int sum = 0; for (int price : basket) { sum += price; } return sum; }
    void close() { this.door.open = false; }
}
"""
READ = "package io\n\nfunc ReadLines(path string) []string {\n\treturn split(load(path))\n}\n"


def tiny_model(folder, seed):
    tokenizer = train_tokenizer([AREA, SHOP, READ], 400, 32)
    torch.manual_seed(seed)
    config = CodeSageConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    CodeSageModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "pkg").mkdir(parents=True)
    (root / "area.py").write_text(AREA)
    (root / "pkg" / "Shop.java").write_text(SHOP)
    (root / "pkg" / "read.go").write_text(READ)
    (root / "README.md").write_text("Words.")
    return root


@pytest.fixture
def embedded(monkeypatch):
    """The texts that are embedded as documents from now on."""
    texts = []
    documents = Encoder.documents

    def counting(self, given):
        texts.extend(given)
        return documents(self, given)

    monkeypatch.setattr(Encoder, "documents", counting)
    return texts


def opened(tree, encoder, **options):
    return Index.open(tree, encoder, folder=tree.parent / "index", workers=1, **options)


def updated(tree, encoder):
    with opened(tree, encoder) as each:
        return each.update()


def content(folder):
    """All that an index holds, without the numbers that depend on its history."""
    with sqlite3.connect(folder / NAME) as connection:
        rows = connection.execute(
            "SELECT path, language, files.digest, skipped, name, signature, start_line, end_line, embedding, words.text"
            " FROM files LEFT JOIN functions ON functions.file = files.id"
            " LEFT JOIN texts ON texts.digest = functions.text"
            " LEFT JOIN words ON words.rowid = functions.id ORDER BY path, start_line"
        ).fetchall()
        ((words,),) = connection.execute("SELECT count(*) FROM words").fetchall()
        ((texts,),) = connection.execute("SELECT count(*) FROM texts").fetchall()
    return rows, words, texts


def test_the_ranking_is_that_of_a_direct_computation(tree, encoder):
    query = "open the door and read its width"
    with opened(tree, encoder) as each:
        each.update()
        hits = each.search(query, k=100)
    functions = [
        (path, function)
        for path in ("area.py", "pkg/Shop.java", "pkg/read.go")
        for function in extract_functions((tree / path).read_text(), language_of_path(path), documented_only=False)
    ]
    assert sum(not function.documentation for _, function in functions) == 3  # functions without any are found, too
    sentences = SentenceTransformer(encoder)
    vectors = sentences.encode([function.code for _, function in functions], normalize_embeddings=True)
    cosines = vectors @ sentences.encode(query, normalize_embeddings=True)
    words = [split_words(f"{function.documentation} {function.code}") for _, function in functions]
    mean = np.mean([len(each) for each in words])
    lexical = np.zeros(len(words))  # BM25 as SQLite documents it for FTS5
    for word in split_words(query):
        having = sum(word in each for each in words)
        weight = max(
            1e-6, math.log((len(words) - having + 0.5) / (having + 0.5))
        )  # as SQLite's full-text search has it
        for i, each in enumerate(words):
            frequency = each.count(word)
            lexical[i] += weight * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(each) / mean))
    standard = [(scores - scores.mean()) / scores.std() for scores in (cosines, lexical)]
    scores = 0.7 * standard[0] + 0.3 * standard[1]
    order = np.argsort(-scores)
    assert [(hit.path, hit.name, hit.line) for hit in hits] == [
        (functions[i][0], functions[i][1].name, functions[i][1].start_line) for i in order
    ]
    assert [hit.score for hit in hits] == pytest.approx(scores[order], abs=1e-5)
    assert [hit.cosine for hit in hits] == pytest.approx(cosines[order], abs=1e-5)
    assert order.tolist() not in (np.argsort(-cosines).tolist(), np.argsort(-lexical).tolist())  # both have a say


def test_only_what_has_changed_is_embedded_again(tree, encoder, embedded):
    with opened(tree, encoder) as each:
        first = each.update()
        assert (first.files, first.functions, first.parsed, first.embedded) == (3, 6, 3, 6)
        assert len(embedded) == 6
        embedded.clear()

        os.utime(tree / "area.py", (0, 0))
        assert each.update().parsed == 0

        (tree / "area.py").write_text("# A comment.\n" + AREA.replace("Compute the area", "Tell the size"))
        moved = each.update()
        assert (moved.parsed, moved.embedded) == (1, 0)
        assert {hit.name: hit.line for hit in each.search("size", k=100)}["circle_area"] == 5  # one further down
        assert [row[-1] for row in content(tree.parent / "index")[0] if row[-1].startswith("tell the size")]

        (tree / "area.py").write_text(AREA.replace("radius * radius", "radius ** 2"))
        assert each.update().embedded == 1
        assert ["radius ** 2" in text for text in embedded] == [True]
        embedded.clear()

        (tree / "pkg" / "Shop.java").rename(tree / "Shop.java")
        renamed = each.update()
        assert (renamed.parsed, renamed.embedded, renamed.removed) == (1, 0, 1)

        (tree / "Shop.java").unlink()
        gone = each.update()
        assert (gone.files, gone.functions, gone.removed) == (2, 4, 1)
        assert {hit.path for hit in each.search("close the shop", k=100)} == {"area.py", "pkg/read.go"}
    assert embedded == []
    assert content(tree.parent / "index")[1:] == (4, 4)  # neither words nor embeddings of what is gone


def in_a_process(action):
    """Run in a forked process; returns its exit status."""
    process = multiprocessing.get_context("fork").Process(target=action)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("where", ["embedding", "transaction"])
def test_a_killed_update_is_resumed_to_the_same_index(where, tmp_path, encoder, monkeypatch, embedded):
    tree, other = tmp_path / "tree", tmp_path / "other" / "tree"
    for root in (tree, other):
        root.mkdir(parents=True)
        for i in range(9):
            (root / f"m{i}.py").write_text(f"def f{i}(x):\n    return x + {i}\n\n\ndef g{i}(x):\n    return x * {i}\n")
    monkeypatch.setattr(index, "_BLOCK", 4)  # five blocks
    updated(other, encoder)
    wanted = content(other.parent / "index")
    assert len(wanted[0]) == 18
    embedded.clear()

    def killed():
        target, name = (Encoder, "documents") if where == "embedding" else (Store, "_put")
        original, calls = getattr(target, name), []

        def kill(*arguments):
            calls.append(arguments)
            if len(calls) == (3 if where == "embedding" else 6):  # in both cases in the middle of the third block
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        setattr(target, name, kill)
        updated(tree, encoder)

    assert in_a_process(killed) == -signal.SIGKILL
    assert {row[0] for row in content(tree.parent / "index")[0]} == {f"m{i}.py" for i in range(4)}
    assert embedded == []
    resumed = updated(tree, encoder)
    assert resumed.embedded == len(embedded) == 10
    assert content(tree.parent / "index") == wanted


def test_two_processes_may_index_one_tree_at_once(tree, encoder):
    processes = [multiprocessing.get_context("fork").Process(target=updated, args=(tree, encoder)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert content(tree.parent / "index")[1:] == (6, 6)


def test_a_lock_that_is_not_given_back_ends_in_a_clear_message(tree, encoder, monkeypatch, capsys):
    monkeypatch.setattr(index, "_LOCK_SECONDS", 0.1)
    with opened(tree, encoder) as each:
        with (
            filelock.FileLock(tree.parent / "index" / "lock"),
            pytest.raises(ValueError, match="another process has held"),
        ):
            each.update()
        assert "waiting for it" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["model", "dimension", "chunker"])
def test_an_index_made_otherwise_is_refused_until_it_is_made_anew(changed, tree, encoder, tmp_path, monkeypatch):
    other = tiny_model(tmp_path / "other", seed=1)
    with opened(tree, other) as early:  # an empty index is nobody's: who writes first has it
        updated(tree, encoder)
        for use in (early.update, lambda: early.search("door")):
            with pytest.raises(ValueError, match="another model"):
                use()
    opened(tree, encoder).close()  # as it was made it is opened
    options = {"encoder": encoder}
    if changed == "model":
        options["encoder"] = other
    elif changed == "dimension":
        options["dimension"] = 8
    else:
        monkeypatch.setattr(index, "chunker", lambda: "later")
    with pytest.raises(ValueError, match=rf"another {changed} .*--rebuild"):
        opened(tree, **options)
    with opened(tree, **options, rebuild=True) as each:
        each.update()
        width = each._load()[1].shape[1]
    assert width == (8 if changed == "dimension" else 16)
    opened(tree, **options).close()


def test_the_chunker_covers_all_modules_that_cut_texts():
    """What `functions.py` imports of its package, directly or not, is in the digest."""
    seen, todo = set(), ["functions"]
    while todo:
        module = todo.pop()
        seen.add(module)
        source = resources.files("open_codesage.tokenization").joinpath(f"{module}.py").read_text()
        imported = {
            node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level
        }
        todo += imported - seen
    assert seen == set(chunks.SOURCES["tokenization"])


def test_a_damaged_index_is_told_and_made_anew(tree, encoder):
    updated(tree, encoder)
    file = tree.parent / "index" / NAME
    for damaged in (file.read_bytes()[:6000], b"no database at all " * 100):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="--rebuild"), opened(tree, encoder) as each:
            each.search("door")
    with opened(tree, encoder, rebuild=True) as each:
        assert each.update().functions == 6


PATTERNS = (
    *("a", "foo", "*.log", "*.py", "x.py", "foo/*", "a/b", "/a", "/foo/", "**/b", "a/**", "b/**/x.py", "[a-c]", "*o*"),
    *("#x", "*/b", "*/", "/*", "/**/foo", "!", " ", "\\!a", "**/", "x.py "),
)


def walked(root):
    found = files.survey(root)
    assert not found.skipped.keys() - {"ignored", "unknown_language"}, found.skipped
    return {file.path for file in found.files}


def test_what_is_ignored_is_what_git_ignores(tmp_path):
    draw, ignored, taken_back = random.Random(0), 0, 0
    for number in range(12):
        root = tmp_path / str(number)
        (root / ".git" / "info").mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        folders = [root]
        for _ in range(6):
            folders.append(draw.choice(folders) / draw.choice("abc"))
            folders[-1].mkdir(exist_ok=True)
        for folder in {*folders}:
            for name in ("x.py", "y.py", "foo.go"):
                (folder / name).write_text("x")
        for file in [root / ".git" / "info" / "exclude", *(folder / ".gitignore" for folder in {*folders})]:
            lines = [draw.choice(["", "", "!"]) + draw.choice(PATTERNS) for _ in range(draw.randint(0, 4))]
            file.write_text("\n".join([*lines, ""]))
            taken_back += any(line.startswith("!") for line in lines)
        everything = {path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.suffix in (".py", ".go")}
        command = ["git", "ls-files", "-coz", "--exclude-standard", "*.py", "*.go"]
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        assert walked(root) == {path for path in listed.split("\0") if path}
        ignored += len(everything) - len(walked(root))
    assert ignored > 50
    assert taken_back > 10


def test_rules_above_the_tree_hold_in_it_and_an_ignored_tree_is_searched_when_it_is_named(tmp_path):
    repository = tmp_path.resolve()
    (repository / ".git").mkdir()
    (repository / ".gitignore").write_text("/src/skip.py\nbuild/\n")
    for folder in ("src", "build"):
        (repository / folder).mkdir()
        (repository / folder / "skip.py").write_text("x")
        (repository / folder / "take.py").write_text("x")
    assert walked(repository / "src") == {"take.py"}
    assert walked(repository) == {"src/take.py"}
    assert walked(repository / "build") == {"skip.py", "take.py"}


def test_everything_that_is_left_out_is_counted_with_its_reason(tree, encoder, monkeypatch):
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("def secret():\n    return 1\n")
    (tree / "link").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    (tree / "link.py").symlink_to(outside / "secret.py")
    os.mkfifo(tree / "pipe.py")
    for folder in ("node_modules", ".hidden", "venv"):
        (tree / folder).mkdir()
        (tree / folder / "a.py").write_text("x = 1")
    (tree / "venv" / "pyvenv.cfg").touch()
    (tree / "binary.py").write_bytes(b"def f():\n  return '\0'\n")
    (tree / "latin.py").write_bytes(b"def f():\n  return '\xe9'\n")
    (tree / "long.js").write_text("function f() { return [" + "1, " * 1000 + "] }\n")
    (tree / "api_pb2.py").write_text("def f():\n    return 1\n")
    (tree / "deep.py").write_text("x = " + "(\n" * 20_000)
    (tree / "big.py").write_text("x = 1\n" * 200_000)
    Path(os.fsdecode(bytes(tree) + b"/n\xe9.py")).write_text("def f():\n    return 1\n")
    (tree / "locked.py").write_text("def f():\n    return 1\n")
    (tree / ".gitignore").write_text("skip.py\n" + "*a" * 30 + "*b\n")
    (tree / "skip.py").write_text("x = 1\n")
    (tree / ("a" * 200 + ".py")).write_text("def f():\n    return 1\n")
    read = files.read_bytes

    def locked(file):
        if file.name == "locked.py":
            raise PermissionError(file)
        return read(file)

    monkeypatch.setattr(files, "read_bytes", locked)
    begin = time.monotonic()
    update = updated(tree, encoder)
    assert time.monotonic() - begin < 20  # neither the pipe nor the rule of many stars was waited for
    assert {reason: sorted(paths) for reason, paths in update.skipped.items()} == {
        "symbolic_link": ["link", "link.py", "loop"],
        "not_a_regular_file": ["pipe.py"],
        "vendored": ["node_modules/", "venv/"],
        "hidden": [".hidden/"],
        "binary": ["binary.py"],
        "not_utf8": ["latin.py"],
        "minified": ["long.js"],
        "generated": ["api_pb2.py"],
        "too_wide": ["deep.py"],
        "too_large": ["big.py"],
        "name_not_utf8": ["n\ufffd.py"],
        "unreadable": ["locked.py"],
        "ignored": ["skip.py"],
        "ignore_rule_too_complex": [f"{tree.resolve()}/.gitignore:2"],
        "unknown_language": [".gitignore", "README.md"],
    }
    assert (update.files, update.functions) == (4, 7)


def test_the_command_writes_lines_or_json_and_nothing_else(tree, encoder, monkeypatch, capsys):
    (tree / "esc\x1b[2J.py").write_text("def wipe(screen='\x1b[2J'):\n    return screen\n")
    monkeypatch.chdir(tree.parent)
    arguments = ["search", "sum up the prices", "tree", "--model", encoder, "--index", "tree/.index", "--num-proc", "1"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "tree/pkg/Shop.java:3: int total(int[] basket)" in lines
    assert "tree/area.py:10: def width(self)" in lines
    assert "tree/esc\ufffd[2J.py:1: def wipe(screen='\ufffd[2J')" in lines
    assert len(lines) == 7
    assert "7 functions in 4 files; 4 files read, 7 functions embedded" in err
    assert "skipped: 1 hidden, 1 unknown_language" in err
    assert (tree / ".index" / ".gitignore").read_text() == "*\n"  # an index beside the tree stays out of git

    assert cli.main([*arguments, "--json", "--limit", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"query", "tree", "model", "results", "index", "skipped", "seconds"}
    assert len(found["results"]) == 2
    fields = {"path", "line", "end_line", "name", "language", "signature", "score", "cosine"}
    assert all(set(result) == fields for result in found["results"])
    assert found["results"][0]["score"] >= found["results"][1]["score"]
    assert found["index"] == {"files": 4, "functions": 7, "parsed": 0, "embedded": 0, "removed": 0}
    assert found["skipped"]["unknown_language"] == {"count": 1, "examples": ["README.md"]}

    (tree / ".gitignore").write_text("*\n")
    assert cli.main(arguments) == 1
    assert "no function in tree; skipped: " in capsys.readouterr().err
    assert cli.main(["search", " ", "tree"]) == 2


def test_the_default_index_is_in_the_cache_and_every_tree_has_its_own(tree, encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    Index.open(tree, encoder).close()
    assert (index.default_folder(tree.resolve()) / NAME).is_relative_to(tmp_path / "cache")
    assert (index.default_folder(tree.resolve()) / NAME).is_file()
    assert index.default_folder(tree) != index.default_folder(tree / "pkg")


def test_a_missing_released_model_is_told_with_the_remedy(tree, monkeypatch):
    monkeypatch.setattr(released, "RELEASED", "no-such-model")
    with pytest.raises(ValueError, match=r"no-such-model is not in .*--model"):
        Index.open(tree)
