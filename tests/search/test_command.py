"""What the commands write, and how they end."""

import io
import json
import sys

import pytest
from open_codesage.train import cli
from open_codesage.train.search import answers


@pytest.fixture
def run(tree, model, capsys, monkeypatch):
    """Runs the command in the folder of the tree; returns its exit status, standard output and standard error."""
    monkeypatch.chdir(tree.parent)

    def search(*arguments, command="search"):
        status = cli.main([command, *arguments, "--model", model, "--index", "index", "--num-proc", "1"])
        return status, *capsys.readouterr()

    return search


def test_a_result_is_a_line_that_an_editor_opens(run):
    status, out, err = run("sum up the prices", "tree", "--limit", "20")
    assert status == 0
    lines = out.splitlines()
    assert "tree/pkg/Shop.java:8: int total(int[] basket)" in lines
    assert "tree/area.py:16: def width(self)" in lines
    assert "11 units in 3 files; 3 files read, 11 units embedded" in err
    assert "skipped: 1 document" in err
    _, out, err = run("sum up the prices", "tree", "--skipped", "--docs", "--kind", "section")
    assert out == "tree/README.md:1: # Doors\n"


def test_lines_of_code_come_with_a_result_if_it_is_asked_for(run, monkeypatch):
    _, out, _ = run("circle area", "tree", "--limit", "1", "--context", "3")
    assert out == (
        "tree/area.py:6: def circle_area(radius)\n"
        "  6  def circle_area(radius):\n"
        '  7      """Compute the area of a circle."""\n'
        "  8      return math.pi * radius * radius\n"
    )

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    for no_color, colored in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        run("circle area", "tree", "--limit", "1", "--context", "2")
        assert ("\x1b[" in terminal.getvalue()) is colored
        assert "area.py" in terminal.getvalue()


def test_json_is_one_object(run):
    status, out, _ = run("circle area", "tree", "--json", "--limit", "2", "--context", "1")
    found = json.loads(out)
    assert status == 0
    assert set(found) == {"query", "trees", "model", "results", "index", "skipped", "seconds"}
    assert found["results"][0]["path"] == "tree/area.py"
    assert found["results"][0]["code"] == "def circle_area(radius):"
    assert {"line", "end_line", "name", "kind", "language", "signature", "score", "cosine"} < set(found["results"][0])
    assert found["skipped"] == {"document": {"count": 1, "examples": ["README.md"]}}


def test_many_queries_are_answered_in_one_process(run, tree, monkeypatch):
    queries = [{"id": 7, "query": "circle area"}, {"id": "b", "query": "read lines"}]
    text = "\n".join(map(json.dumps, queries)) + "\n\n"
    (tree.parent / "queries.jsonl").write_text(text)
    _, out, _ = run("tree", "--queries", "queries.jsonl", "--jsonl", "--limit", "1")
    answered = [json.loads(line) for line in out.splitlines()]
    assert [answer["id"] for answer in answered] == [7, "b"]
    (first,), (second,) = (answer["results"] for answer in answered)
    assert set(first) == {"path", "line", "end_line", "name", "kind", "score"}
    assert (first["path"], first["line"], first["end_line"], first["name"]) == ("area.py", 6, 8, "circle_area")
    assert second["path"] == "pkg/read.go"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("tree", "--queries", "-", "--jsonl", "--limit", "1")[1] == out
    for line, told in (
        ("{", "line 1"),
        ('{"id": 1}', "id and query"),
        ('{"id": 1, "query": " "}', "empty"),
        ("[" * 9000, "line 1"),
    ):
        (tree.parent / "queries.jsonl").write_text(line)
        status, out, err = run("tree", "--queries", "queries.jsonl")
        assert (status, out) == (2, "")
        assert told in err


def test_the_exit_status_is_that_of_grep(run, tree):
    assert run("circle", "tree")[0] == 0
    assert run("circle", "tree", "--glob", "*.rs")[0] == 1
    status, _, err = run("circle", "missing")
    assert (status, "missing" in err) == (2, True)
    (tree / ".gitignore").write_text("*\n")
    status, out, err = run("circle", "tree")
    assert (status, out) == (1, "")
    assert "there is nothing to find" in err


def test_filters(run):
    def paths(*arguments):
        return {line.partition(":")[0] for line in run("door", "tree", *arguments)[1].splitlines()}

    assert paths("--language", "Go", "java") == {"tree/pkg/read.go", "tree/pkg/Shop.java"}
    assert paths("--glob", "pkg/*") == {"tree/pkg/read.go", "tree/pkg/Shop.java"}
    assert paths("--glob", "pkg", "!*.go") == {"tree/pkg/Shop.java"}
    assert paths("--glob", "!pkg/") == {"tree/area.py"}
    assert run("door", "tree", "--kind", "class", "--glob", "*.py")[1] == "tree/area.py:11: class Door\n"
    assert "did you mean 'function'" in run("door", "tree", "--kind", "functions")[2]
    assert "unknown language 'klingon'" in run("door", "tree", "--language", "klingon")[2]


def test_what_is_like_a_place(run):
    status, out, _ = run("tree", "--related", "tree/area.py:7", "--limit", "3")
    assert status == 0
    assert len(out.splitlines()) == 3
    assert "circle_area" not in out
    assert run("tree", "--related", "area.py:7", "--limit", "3")[1] == out
    for place in ("tree/area.py", "tree/none.py:1", "tree/area.py:999"):
        assert run("tree", "--related", place)[0] == 2


def test_nothing_of_a_stranger_reaches_the_terminal(run, tree):
    (tree / "esc\x1b[2J.py").write_text("def wipe(screen='\x1b[2J'):\n    return '\x1b[2J\u202e'\n")
    _, out, err = run("wipe screen", "tree", "--context", "2", "--skipped")
    assert "tree/esc\\x1b[2J.py:1: def wipe(screen='\\x1b[2J')" in out
    assert "\x1b" not in out + err
    assert "\u202e" not in out


def test_a_query_that_is_not_utf8_is_refused(run):
    status, out, err = run("caf\udce9", "tree")
    assert (status, out) == (2, "")
    assert "the query is not UTF-8" in err


def test_paths_that_the_terminal_lacks_are_spelled(run, tree, monkeypatch):
    (tree / "漢.py").write_text("def kanji():\n    return 1\n")
    monkeypatch.setattr(sys, "stdout", latin := io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert run("kanji", "tree", "--limit", "1")[0] == 0
    latin.flush()
    assert b"tree/\\u6f22.py:1: def kanji()" in latin.buffer.getvalue()


def test_wrong_options_are_told(run):
    for arguments, told in (
        ([" "], "the query is empty"),
        (["x", "tree", "--json", "--jsonl"], "--json writes one object"),
        (["tree", "--queries", "q", "--related", "a:1"], "two ways to ask"),
        (["x", "tree", "--limit", "0"], "limit must be at least 1, not 0"),
    ):
        status, _, err = run(*arguments)
        assert status == 2
        assert told in err


def test_the_index_command_makes_tells_and_deletes(run, tree):
    status, out, _ = run("tree", command="index")
    assert status == 0
    assert "11 units in 3 files; skipped: 1 document" in out
    (tree / "more.py").write_text("def more():\n    return 1\n")
    assert "11 units in 3 files" in run("tree", "--status", command="index")[1]
    assert "12 units in 4 files" in run("tree", command="index")[1]
    assert "skipped (document): README.md" in run("tree", "--skipped", command="index")[2]
    assert "deleted" in run("tree", "--clear", command="index")[1]
    assert run("tree", "--clear", command="index")[1] == ""
    assert "0 units in 0 files" in run("tree", "--status", command="index")[1]
    assert run("tree", "--clear", "--rebuild", command="index")[0] == 2


def test_code_of_a_file_that_is_gone_is_left_out(run, tree, monkeypatch):
    show = answers.show

    def removed_before(hits, context):
        (tree / "area.py").unlink(missing_ok=True)
        show(hits, context)

    monkeypatch.setattr("open_codesage.train.search.command.show", removed_before)
    assert (
        run("circle area", "tree", "--limit", "1", "--context", "2")[1] == "tree/area.py:6: def circle_area(radius)\n"
    )
