"""What is ignored is what git ignores, in bounded time."""

import os
import random
import subprocess
import time

import pytest
from open_codesage.train.search import files
from open_codesage.train.search.gitignore import RuleSet
from open_codesage.train.search.ignore import IgnoreRules

NEUTRAL = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
PIECES = (
    *("a", "b", "ab", "*", "**", "/", "?", "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[[:upper:]]", "\\", "\\*"),
    *(
        ".",
        "!",
        "#",
        " ",
        "[",
        "]",
        "-",
        "A",
        ".py",
        "**/",
        "/**",
        "foo",
        "\\ ",
        "[]a]",
        "[a\\]]",
        "[[:x:]]",
        "[a",
        "é",
    ),
)
NAMES = ("a", "b", "ab", "A", "a.py", "b.py", "foo", "*", "é", ".py", "c", "#a", "!a", "a ", "ba")


def git(folder, *arguments, **options):
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, env=NEUTRAL, **options)


def is_ignored(rules, path):
    parts = os.fsencode(path).split(b"/")
    return any(rules.decide(b"/".join(parts[:end]), end < len(parts)) for end in range(1, len(parts) + 1))


def test_lines_mean_what_git_says_they_mean(tmp_path):
    git(tmp_path, "init", "-q", check=True)
    draw, compared, ignored = random.Random(3), 0, 0
    for _ in range(40):
        lines = ["".join(draw.choice(PIECES) for _ in range(draw.randint(1, 5))) for _ in range(draw.randint(1, 3))]
        (tmp_path / ".gitignore").write_text("\n".join([*lines, ""]), encoding="utf-8")
        paths = {"/".join(draw.choice(NAMES) for _ in range(draw.randint(1, 4))) for _ in range(20)}
        done = git(tmp_path, "check-ignore", "--no-index", "-z", "--stdin", input="\0".join(paths).encode())
        if done.returncode not in (0, 1):
            continue
        by_git = set(done.stdout.decode().split("\0")) - {""}
        rules = RuleSet(lines)
        assert {path for path in paths if is_ignored(rules, path)} == by_git, lines
        compared, ignored = compared + len(paths), ignored + len(by_git)
    assert compared > 500
    assert 50 < ignored < compared - 50


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("[[:upper:]]*.py", "Abc.py", True),
        ("[[:upper:]]*.py", "abc.py", None),
        ("!/", "a", None),
        ("*.log ", "a.log", True),
        ("*.log\\ ", "a.log ", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("**/b", "ab", None),
        ("a/**", "a", None),
        ("?", "é", None),  # git compares bytes
        ("??", "é", True),
        ("a\\", "a", None),
        ("", "a", None),
    ],
)
def test_lines_of_note(line, path, expected):
    assert RuleSet([line]).decide(path.encode(), is_folder=False) is expected


def test_the_last_line_that_matches_decides():
    rules = RuleSet(["*.py", "!keep.py", "build/", "!build"])
    assert rules.decide(b"x.py", False) is True
    assert rules.decide(b"sub/keep.py", False) is False
    assert rules.decide(b"build", True) is False


def test_slow_rules_take_bounded_time(tmp_path):
    lines = [f"*a*a*a{number:x}b" for number in range(4000)]
    begin = time.process_time()
    rules = RuleSet(lines)
    for number in range(20):
        assert rules.decide(b"a" * 240 + b"%d.py" % number, False) is None
    assert time.process_time() - begin < 5  # the library that was used before takes minutes for one
    assert rules.decide(b"aaaa7fb", False) is True


def test_more_rules_than_are_followed_are_reported(tmp_path):
    folder, reported = tmp_path, []
    rules = IgnoreRules(tmp_path, lambda path, reason: reported.append(reason))
    for depth in range(20):
        folder = folder / "d"
        folder.mkdir()
        (folder / ".gitignore").write_text("\n".join(f"{'x' * 60}{number:x}" for number in range(900)))
        rules = rules.enter("/".join("d" * (depth + 1)), folder)
    assert set(reported) == {"ignore_rules_too_many"}
    assert rules.ignore("/".join("d" * 20) + "/" + "x" * 60 + "1", False)


def walked(root):
    return {file.path for file in files.survey(root).files}


def test_a_tree_is_walked_as_git_lists_it(tmp_path):
    draw, ignored = random.Random(0), 0
    patterns = (
        "a",
        "foo",
        "*.py",
        "x.py",
        "foo/*",
        "a/b",
        "/a",
        "**/b",
        "a/**",
        "b/**/x.py",
        "[a-c]",
        "*o*",
        "*/b",
        "*/",
        "!",
    )
    for number in range(4):
        root = tmp_path / str(number)
        root.mkdir()
        git(root, "init", "-q", check=True)
        folders = [root]
        for _ in range(6):
            folders.append(draw.choice(folders) / draw.choice("abc"))
            folders[-1].mkdir(exist_ok=True)
        for folder in {*folders}:
            for name in ("x.py", "y.py", "foo.go"):
                (folder / name).write_text("x")
        for file in [root / ".git" / "info" / "exclude", *(folder / ".gitignore" for folder in {*folders})]:
            lines = [draw.choice(["", "", "!"]) + draw.choice(patterns) for _ in range(draw.randint(0, 4))]
            file.write_text("\n".join([*lines, ""]))
        listed = git(root, "ls-files", "-coz", "--exclude-standard", "*.py", "*.go", check=True, text=True).stdout
        assert walked(root) == {path for path in listed.split("\0") if path}
        ignored += sum(path.suffix in (".py", ".go") for path in root.rglob("*.*")) - len(walked(root))
    assert ignored > 10


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


def test_a_codesageignore_adds_to_the_gitignore_and_decides_over_it(tmp_path):
    for name in ("one.py", "two.py", "three.py"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_text("one.py\n")
    (tmp_path / ".codesageignore").write_text("two.py\n!one.py\n")
    assert walked(tmp_path) == {"one.py", "three.py"}


def test_a_repository_inside_has_rules_of_its_own(tmp_path):
    child = tmp_path / "child"
    (child / ".git" / "info").mkdir(parents=True)
    (child / ".git" / "info" / "exclude").write_text("*.tmp.py\n")
    for name in ("a.py", "b.tmp.py"):
        (child / name).write_text("x")
    (tmp_path / "c.tmp.py").write_text("x")
    assert walked(tmp_path) == {"child/a.py", "c.tmp.py"}


def test_work_trees_and_clones_of_a_repository_do_not_multiply_it(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", check=True)
    (root / "a.py").write_text("x = 1\n")
    git(root, "add", ".", check=True)
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    git(root, *identity, "commit", "-q", "-m", "first", check=True)
    git(root, "worktree", "add", "-q", str(root / "tree"), check=True)
    git(root, "clone", "-q", ".", str(root / "clone"), check=True)
    (root / "clone" / "b.py").write_text("x = 2\n")
    (root / "other").mkdir()
    git(root / "other", "init", "-q", "-b", "main", check=True)
    (root / "other" / "c.py").write_text("x = 3\n")
    found = files.survey(root)
    assert [file.path for file in found.files] == ["a.py", "other/c.py"]
    assert found.skipped["work_tree"] == ["tree/"]
    assert found.skipped["clone"] == ["clone/"]
    assert walked(root / "clone") == {"a.py", "b.py"}  # named, it is searched
    assert walked(tmp_path) == {"repository/a.py", "repository/other/c.py"}
