"""The index agrees with the trees and the model, whatever happened on the way."""

import ast
import multiprocessing
import os
import signal
import sqlite3
from importlib import resources

import filelock
import numpy as np
import pytest
from open_codesage.train.search import database, index, reading, released
from open_codesage.train.search.database import NAME, Database
from open_codesage.train.search.index import Index
from open_codesage.train.search.static_encoder import StaticEncoder

UNITS = {
    ("area.py", "code", ("TURNS",)),
    ("area.py", "function", ("circle_area",)),
    ("area.py", "class", ("Door",)),
    ("area.py", "function", ("width",)),
    ("area.py", "function", ("open_slowly",)),
    ("pkg/Shop.java", "code", ()),
    ("pkg/Shop.java", "class", ("Shop",)),
    ("pkg/Shop.java", "function", ("total",)),
    ("pkg/Shop.java", "function", ("close",)),
    ("pkg/read.go", "code", ()),
    ("pkg/read.go", "function", ("ReadLines",)),
}


@pytest.fixture
def embedded(monkeypatch):
    """The texts that are embedded as documents from now on."""
    texts = []
    documents = StaticEncoder.documents

    def counting(self, given):
        texts.extend(given)
        return documents(self, given)

    monkeypatch.setattr(StaticEncoder, "documents", counting)
    return texts


def held(folder):
    """All that an index holds, without the numbers that depend on its history."""
    with sqlite3.connect(folder / NAME) as connection:
        rows = connection.execute(
            "SELECT path, language, contents.digest, skipped, kind, names, scope, signature, start_line, end_line,"
            " words, embedding FROM files JOIN contents ON contents.id = files.content"
            " LEFT JOIN units ON units.content = contents.id LEFT JOIN texts ON texts.digest = units.text"
            " ORDER BY path, start_line, end_line"
        ).fetchall()
        counts = connection.execute("SELECT (SELECT count(*) FROM contents), (SELECT count(*) FROM texts)").fetchone()
    return rows, counts


def test_everything_in_a_tree_is_a_unit(opened, updated, real_workers):
    update = updated()
    assert (update.files, update.units, update.parsed) == (3, len(UNITS), 3)
    assert update.skipped == {"document": ["README.md"]}
    with opened() as each:
        searched, _ = each._load()
        assert {(searched.paths[unit.file], unit.kind, unit.names) for unit in searched.units} == UNITS
        hits = each.search("door", k=100)
        assert len(hits) == len(UNITS)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_documents_are_searched_if_it_is_asked_for(opened):
    with opened(docs=True) as each:
        assert each.update().units == len(UNITS) + 1
        assert ("README.md", "section", "Doors") in {(h.path, h.kind, h.name) for h in each.search("doors", k=50)}
    with opened() as each:
        assert each.update().units == len(UNITS)


def test_only_what_has_changed_is_read_and_embedded_again(tree, opened, embedded):
    with opened() as each:
        first = each.update()
        assert (first.parsed, first.embedded) == (3, len(UNITS))
        embedded.clear()

        os.utime(tree / "area.py", (0, 0))
        assert each.update().parsed == 0

        area = (tree / "area.py").read_text()
        (tree / "area.py").write_text("# A comment.\n" + area)
        moved = each.update()
        assert (moved.parsed, moved.embedded) == (1, 1)  # the code around the functions has the comment
        assert {hit.name: hit.line for hit in each.search("size", k=100)}["circle_area"] == 7  # one further down
        embedded.clear()

        (tree / "area.py").write_text(area.replace("radius * radius", "radius ** 2"))
        assert each.update().embedded == 2
        assert sorted("radius ** 2" in text for text in embedded) == [False, True]
        embedded.clear()

        (tree / "pkg" / "Shop.java").rename(tree / "Shop.java")
        renamed = each.update()
        assert (renamed.parsed, renamed.embedded, renamed.removed) == (0, 0, 1)

        (tree / "Shop.java").unlink()
        gone = each.update()
        assert (gone.files, gone.units, gone.removed) == (2, 7, 1)
        assert {hit.path for hit in each.search("close the shop", k=100)} == {"area.py", "pkg/read.go"}
    assert embedded == []
    assert held(tree.parent / "index")[1] == (2, 7)  # nothing of what is gone


def test_a_file_that_did_not_change_is_not_read(tree, opened, monkeypatch):
    for path in tree.rglob("*.*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    with opened() as each:
        each.update()
        monkeypatch.setattr("open_codesage.train.search.files.read_bytes", None)
        assert each.update().units == len(UNITS)
    monkeypatch.undo()
    (tree / "area.py").write_text("def new():\n    return 1\n")
    os.utime(tree / "area.py", (1_000_000_000, 1_000_000_000))  # as old, but of another size
    with opened() as each:
        assert each.update().parsed == 1


def test_a_file_that_changes_while_it_is_read_is_indexed_as_it_was_read(tree, opened, monkeypatch):
    survey = index.survey

    def surveyed_early(*arguments):
        found = survey(*arguments)
        (tree / "area.py").write_text("def later():\n    return 1\n")
        (tree / "pkg" / "read.go").unlink()
        return found

    monkeypatch.setattr(index, "survey", surveyed_early)
    with opened() as each:
        update = each.update()
        assert update.skipped["unreadable"] == ["pkg/read.go"]
        assert {hit.name for hit in each.search("later", k=50) if hit.path == "area.py"} == {"later"}
    monkeypatch.undo()
    (tree / "pkg" / "read.go").write_text("package io\n\nfunc Again() int {\n\treturn 1\n}\n")
    with opened() as each:
        assert each.update().parsed == 1
        assert "Again" in {hit.name for hit in each.search("again", k=50)}


def in_a_process(action):
    """Run in a forked process; returns its exit status."""
    process = multiprocessing.get_context("fork").Process(target=action)
    process.start()
    process.join(120)
    return process.exitcode


@pytest.mark.parametrize("where", ["embedding", "transaction"])
def test_a_killed_update_is_resumed_to_the_same_index(where, tree, opened, tmp_path, monkeypatch, embedded):
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
        for i in range(9):
            (root / f"m{i}.py").write_text(f"def f{i}(x):\n    return x + {i}\n\n\ndef g{i}(x):\n    return x * {i}\n")
    monkeypatch.setattr(index, "_BLOCK", 4)  # five blocks

    def update(root, folder):
        with opened(root, folder=tmp_path / folder) as each:
            return each.update()

    update(roots[0], "whole")
    wanted = held(tmp_path / "whole")
    assert len(wanted[0]) == 18
    embedded.clear()

    def killed():
        target, name = (StaticEncoder, "documents") if where == "embedding" else (database, "_write_content")
        original, calls = getattr(target, name), []

        def kill(*arguments):
            calls.append(arguments)
            if len(calls) == (3 if where == "embedding" else 6):  # in both cases in the middle of the third block
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        setattr(target, name, kill)
        update(roots[1], "killed")

    assert in_a_process(killed) == -signal.SIGKILL
    assert embedded == []
    resumed = update(roots[1], "killed")
    assert resumed.embedded == len(embedded) == 10
    assert held(tmp_path / "killed") == wanted


def test_two_processes_may_index_one_tree_at_once(tree, updated):
    processes = [multiprocessing.get_context("fork").Process(target=updated) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert held(tree.parent / "index")[1] == (3, len(UNITS))


def test_a_second_process_waits_and_then_reads_what_the_first_has_written(tree, opened, updated, embedded, monkeypatch):
    with opened() as each:
        lock = filelock.FileLock(tree.parent / "index" / "lock")
        lock.acquire()
        told = []

        def finish(line):
            """As if the first process wrote while the second waits, which has just said so."""
            told.append(line)
            lock.release()
            updated()

        monkeypatch.setattr(index, "note", finish)
        update = each.update()
        assert told == [f"another process indexes {tree}: waiting for it"]
        assert (update.units, update.parsed, update.embedded) == (len(UNITS), 0, 0)
        assert len(embedded) == len(UNITS)
        assert {hit.path for hit in each.search("door", k=100)} == {"area.py", "pkg/Shop.java", "pkg/read.go"}


def test_a_lock_that_is_not_given_back_ends_in_a_clear_message(tree, opened, monkeypatch, capsys):
    monkeypatch.setattr(index, "_LOCK_SECONDS", 0.1)
    with opened() as each:
        with (
            filelock.FileLock(tree.parent / "index" / "lock"),
            pytest.raises(ValueError, match="another process has held"),
        ):
            each.update()
        assert "waiting for it" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["model", "dimension", "chunker"])
def test_an_index_made_otherwise_is_made_anew_with_a_word(changed, opened, updated, other_model, monkeypatch, capsys):
    updated()
    assert "made anew" not in capsys.readouterr().err
    opened().close()  # as it was made it is opened
    options = {}
    if changed == "model":
        options["encoder"] = other_model
    elif changed == "dimension":
        options["dimension"] = 8
    else:
        monkeypatch.setattr(index, "chunker", lambda: "later")
    with opened(**options) as each:
        assert f"was made with another {changed}: it is made anew" in capsys.readouterr().err
        assert each.update().embedded == len(UNITS)
        assert each._load()[0].embeddings.shape[1] == (8 if changed == "dimension" else 16)
    opened(**options).close()
    assert capsys.readouterr().err == ""


def test_an_index_that_another_process_has_made_otherwise_is_not_mixed(opened, updated, other_model):
    with opened(encoder=other_model) as early:  # an empty index is nobody's: who writes first has it
        updated()
        for use in (early.update, lambda: early.search("door")):
            with pytest.raises(ValueError, match="another model"):
                use()


def test_the_chunker_covers_all_modules_that_cut_texts():
    """What `reading.py` imports of this package, directly or not, is in the digest."""
    judged_by_path = {f"train.search.{name}" for name in ("files", "ignore", "languages", "repository")}
    seen, todo = set(), ["train.search.reading"]
    while todo:
        module = todo.pop()
        seen.add(module)
        package, _, name = module.rpartition(".")
        source = resources.files(f"open_codesage.{package}").joinpath(f"{name}.py").read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                place = (node.module or "").removeprefix("open_codesage.") if not node.level else None
                if place is None:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    place = ".".join([*above, *filter(None, [node.module])])
                elif not (node.module or "").startswith("open_codesage."):
                    continue
                if place not in {*seen, *todo, *judged_by_path}:
                    todo.append(place)
    told = {f"{package}.{module}" for package, modules in reading.SOURCES.items() for module in modules}
    assert len(seen) > 10
    assert seen - {"train.corpus.licences"} <= told


@pytest.mark.parametrize("content", [None, b"no database at all " * 100])
def test_a_damaged_index_is_made_anew_with_a_word(content, tree, opened, updated, capsys):
    updated()
    file = tree.parent / "index" / NAME
    file.write_bytes(file.read_bytes()[:6000] if content is None else content)
    with opened() as each:
        assert each.update().units == len(UNITS)
        assert each.search("door")
    assert "damaged" in capsys.readouterr().err


def test_a_full_disk_is_told_and_nothing_is_lost(tree, opened, updated, monkeypatch):
    updated()
    before = held(tree.parent / "index")
    (tree / "more.py").write_text("def more():\n    return 1\n")
    limit = Database.open

    def small(folder, settings):
        each = limit(folder, settings)
        pages = each._rows("PRAGMA page_count")[0][0]
        each._rows(f"PRAGMA max_page_count = {pages}")
        return each

    (tree / "large.py").write_text("\n".join(f"def f{i}():\n    return {i}\n" for i in range(500)))
    monkeypatch.setattr(Database, "open", small)
    with opened() as each, pytest.raises(ValueError, match=r"the disk of .* is full or failing .* free some space"):
        each.update()
    assert held(tree.parent / "index")[0] == before[0]
    monkeypatch.undo()
    assert updated().units > len(UNITS) + 500


def test_bad_questions_are_refused(opened, updated):
    updated()
    with opened() as each:
        for k in (0, -1):
            with pytest.raises(ValueError, match=f"k is {k}"):
                each.search("door", k=k)
        with pytest.raises(ValueError, match="the query is empty"):
            each.search(" \n")


def test_work_trees_of_a_repository_share_an_index(tree, model, tmp_path, monkeypatch, embedded):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    (tree / ".git").mkdir()
    other = tmp_path / "elsewhere"
    (other / "pkg").mkdir(parents=True)
    (other / "area.py").write_text((tree / "area.py").read_text())
    own = tree / ".git" / "worktrees" / "elsewhere"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (other / ".git").write_text(f"gitdir: {own}\n")
    assert index.default_folder(tree) == index.default_folder(tree / "pkg") == index.default_folder(other)
    assert index.default_folder(tree).is_relative_to(tmp_path / "cache")
    with Index.open(tree, model, workers=1) as each:
        assert each.update().parsed == 3
    embedded.clear()
    for root, files in ((tree / "pkg", 2), (other, 1)):
        with Index.open(root, model, workers=1) as each:
            update = each.update()
            assert (update.files, update.parsed, update.embedded) == (files, 0, 0)
            assert len({hit.path for hit in each.search("door", k=50)}) == files
    assert embedded == []


def test_other_folders_have_an_index_of_their_own_and_find_that_of_a_folder_above(tree, model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    assert index.default_folder(tree) != index.default_folder(tree / "pkg")
    Index.open(tree, model).close()
    assert index.default_folder(tree) == index.default_folder(tree / "pkg")


def test_several_trees_are_searched_as_one(tree, model, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "gate.rs").write_text("/// A gate.\nfn open_gate() -> u8 {\n    1\n}\n")
    roots = [tree, tmp_path / "more", tree / "pkg"]  # the last is in the first
    with Index.open(roots, model, folder=tmp_path / "index", workers=1) as each:
        assert each.update().units == len(UNITS) + 1
        hits = each.search("open gate", k=50)
    assert (hits[0].tree, hits[0].path) == (str(tmp_path / "more"), "gate.rs")
    assert len(hits) == len(UNITS) + 1
    assert len({(hit.tree, hit.path, hit.line) for hit in hits}) == len(hits)


def test_embeddings_are_those_of_the_encoder(tree, opened, updated, model):
    updated()
    with opened() as each:
        searched, _ = each._load()
        text = next(unit.text for unit in reading.read_units((str(tree), index.survey(tree).files[0])).units)
        np.testing.assert_allclose(searched.embeddings[0], each._encoder.documents([text])[0], atol=1e-3)


def test_a_missing_released_model_is_told_with_the_remedy(tree, monkeypatch):
    monkeypatch.setattr(released, "RELEASED", "no-such-model")
    with pytest.raises(ValueError, match=r"no-such-model is not in .*--model"):
        Index.open(tree)
