"""What is cut out of source files, which of them are left out, and how texts are compared."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from open_codesage.train.corpus.packages.contamination import Reference, References, fingerprint, read_references
from open_codesage.train.corpus.packages.harvest import Rules, process
from open_codesage.train.corpus.packages.similarity import NearDuplicates, shingles, signature, tokens
from open_codesage.train.corpus.rules import ADDRESS, clean, is_test, is_vendored, names_other_licence
from open_codesage.train.corpus.sources import SourceFile

NOTICE = "Copyright 2020 The Authors. All rights reserved."


@pytest.mark.parametrize(
    ("text", "rest", "lines"),
    [
        (f"# {NOTICE}\n# Licensed under the X License.\n\nimport os\n", "import os\n", 3),
        (f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# {NOTICE}\nimport os\n",
         "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport os\n", 1),
        (f"<?php\n/*\n * {NOTICE}\n */\n\nnamespace A;\n", "<?php\nnamespace A;\n", 4),
        (f"// {NOTICE}\n\n// Package a counts.\npackage a\n", "// Package a counts.\npackage a\n", 2),
        (f"/* a.c */\n/* {NOTICE} */\n#include <a.h>\n", "#include <a.h>\n", 2),
        ("/** Counts things. */\nint count(void);\n", "/** Counts things. */\nint count(void);\n", 0),
        ("import os\n\n# Copyright: see the file.\n", "import os\n\n# Copyright: see the file.\n", 0),
        ("#define LICENSE 1\n#define B 2\n", "#define LICENSE 1\n#define B 2\n", 0),
        (f"#region MIT licence\n// {NOTICE}\n\n//\n#endregion\nclass A {{}}\n", "class A {}\n", 5),
        ("#region License\nclass A {}\n#endregion\n", "#region License\nclass A {}\n#endregion\n", 0),
        ("", "", 0),
    ],
)  # fmt: skip
def test_licence_headers_are_cut_and_nothing_else(text, rest, lines):
    cleaned = clean(text)
    assert (cleaned.text, cleaned.lines) == (rest, lines)
    assert text.count("\n") == cleaned.text.count("\n") + lines
    assert clean(cleaned.text).text == cleaned.text


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"#!/bin/sh\n# {NOTICE}\n#\n# More of it.\n\nimport os\n# It.\n", "#!/bin/sh\nimport os\n# It.\n"),
        (f"<?php\n/*\n * {NOTICE}\n */\n\nnamespace A;\n// It.\n", "<?php\nnamespace A;\n// It.\n"),
        (f"// {NOTICE}\n//\n// More.\n\n// Package a counts.\npackage a\n", "// Package a counts.\npackage a\n"),
        (f"#region MIT\n// {NOTICE}\n\n#endregion\nclass A {{}}\n// It.\n", "class A {}\n// It.\n"),
    ],
)
def test_licence_headers_end_with_their_lines_whatever_ends_a_line(text, rest, end):
    cleaned = clean(text.replace("\n", end))
    assert cleaned.text == rest.replace("\n", end)
    assert cleaned.lines == text.count("\n") - rest.count("\n")


def test_addresses_are_replaced_and_code_is_not():
    text = "x = 'Ann <ann.b-c+d@mail.example.org>, bob@corp.co.uk'\ny = a@b.T\nz = m@n.at(0)\n@app\n'v@example.com'\n"
    cleaned = clean(text)
    assert cleaned.text == text.replace("ann.b-c+d@mail.example.org", ADDRESS).replace("bob@corp.co.uk", ADDRESS)
    assert cleaned.addresses == 2
    assert clean(cleaned.text).addresses == 0


def test_a_header_that_names_another_licence_is_told_from_one_that_offers_a_choice():
    other = [
        "GNU General Public License",
        "SPDX-License-Identifier: GPL-2.0-only",
        "the GNU Lesser General\nPublic License",
    ]
    ours = [
        "SPDX-License-Identifier: MIT OR GPL-2.0-only */",
        "Apache License",
        "MIT, or alternatively GPL",
        "",
        "Zlib",
    ]
    assert [names_other_licence(header, ["permissive"]) for header in other] == [True] * 3
    assert [names_other_licence(header, ["permissive"]) for header in ours] == [False] * 5
    assert not names_other_licence(other[0], ["all"])
    assert not names_other_licence(other[1], ["permissive", "GPL-2.0-only"])


def test_paths_of_tests_and_of_other_peoples_code():
    tests = [
        "a/tests/b.py",
        "a/test_b.py",
        "a/b_test.go",
        "src/test/java/A.java",
        "a/BagTest.java",
        "a/b.spec.ts",
        "spec/a_spec.rb",
    ]
    no_tests = ["a/testing.py", "a/contest.py", "a/latest/b.js", "a/Attest.java", "a/special.rb", "a/test.d/b.py"]
    assert [path for path in tests if not is_test(path)] == []
    assert [path for path in no_tests if is_test(path)] == []
    assert all(map(is_vendored, ["a/vendor/b.go", "x/node_modules/y/z.js", "pip/_vendor/a.py", ".github/a.py"]))
    assert not any(
        map(is_vendored, ["usr/lib/ruby/vendor_ruby/a.rb", "usr/lib/python3/dist-packages/a.py", "vendor.go"])
    )


def source(text, path="pip/spam/a.py"):
    return SourceFile(text.encode(), "python", path, "MIT", "pip/spam")


FUNCTION = '''
def merge_intervals(intervals, tolerance):
    """Merge the intervals that overlap or nearly touch."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start - merged[-1][1] <= tolerance:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
'''
OTHER = '''
class Registry:
    """Holds handlers."""

    def dispatch(self, event, *arguments):
        """Call every handler of an event and gather what they return."""
        results = {}
        for handler in self.handlers.get(event.name, ()):
            if handler.accepts(event):
                results[handler.key] = handler(event, *arguments)
        return results
'''
RULES = Rules(("permissive",), 250_000, 0.25, None)


def test_a_file_is_cleaned_and_its_lines_are_those_of_the_package():
    header = f"# {NOTICE}\n# me@corp.com\n"
    outcome = process(source(header + FUNCTION), RULES)
    assert outcome.text == FUNCTION.lstrip("\n")
    lines = (header + FUNCTION).splitlines()
    assert lines[outcome.first_line - 1] == "def merge_intervals(intervals, tolerance):"
    [row] = outcome.extracted.rows
    assert lines[row["start_line"] + outcome.first_line - 2] == "def merge_intervals(intervals, tolerance):"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# GNU General Public License\n" + FUNCTION, "other_licence"),
        (f"# {NOTICE}\n" + "#\n" * 700 + "# Code generated by x. DO NOT EDIT.\n" + FUNCTION, None),
        (f"# {NOTICE}\n" * 40 + "\n# DO NOT EDIT\n\n" + FUNCTION, "generated"),
        (f"# {NOTICE}\n" * 10 + "x = 1\n", "too_small"),
        ("x = '" + "a" * 2000 + "'\n" + FUNCTION, "minified"),
        ("\0" + FUNCTION, "binary"),
    ],
)
def test_files_are_left_out_with_a_reason(text, reason):
    assert process(source(text), RULES).skipped == reason


def test_a_share_of_the_tests_is_taken_by_their_paths():
    taken = [process(source(FUNCTION, f"pip/spam/tests/a{i}.py"), RULES).skipped is None for i in range(200)]
    assert 20 < sum(taken) < 80
    none = Rules(("permissive",), 250_000, 0.0, None)
    assert {process(source(FUNCTION, f"tests/a{i}.py"), none).skipped for i in range(20)} == {"test"}


def test_tokens_are_words_and_signs():
    text = FUNCTION + OTHER + "é = 'naïve'; x_1 += 2.5e-3\t\r\n"
    words = re.findall(r"\w+|[^\w\s]", text)
    numbers = tokens(text).tolist()
    assert len(numbers) == len(words)
    pairs = set(zip(words, numbers, strict=True))
    assert len(pairs) == len(set(words)) == len(set(numbers))
    assert tokens("").tolist() == tokens(" \n").tolist() == []
    assert np.array_equal(tokens("a+ b"), tokens("a\n+b"))


def test_hashes_are_the_same_in_every_process():
    code = (
        "from open_codesage.train.corpus.packages.similarity import *; "
        "print(signature(shingles(tokens('a b c d e f'))).hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert run.stdout.strip() == signature(shingles(tokens("a b c d e f"))).hex()


def test_near_duplicates_are_found_and_others_are_not():
    long = "\n".join(FUNCTION.replace("merged", f"merged{i}") for i in range(8)) + OTHER
    near = long.replace("handlers", "listeners")
    sets = [shingles(tokens(text)) for text in (long, near, long.replace("merged", "joined"), OTHER)]
    index = [len(np.intersect1d(sets[0], other)) / len(np.union1d(sets[0], other)) for other in sets]
    assert index[1] > 0.9 and index[2] < 0.7
    found = NearDuplicates()
    assert [found.find_or_add(i, signature(numbers)) for i, numbers in enumerate(sets)] == [None, 0, None, None]


def test_functions_of_evaluation_sets_are_found_wherever_they_stand(tmp_path):
    folder = tmp_path / "sets" / "one"
    folder.mkdir(parents=True)
    undocumented = OTHER.replace('"""Call every handler of an event and gather what they return."""\n        ', "")
    (folder / "corpus.jsonl").write_text(
        f'{{"_id": "d1", "text": {json.dumps(FUNCTION)}, "language": "python"}}\n'
        f'{{"_id": "d2", "text": {json.dumps("import os" + undocumented)}, "language": "python"}}\n'
        '{"_id": "d3", "text": "x = sorted(y)", "language": "python"}\n'
    )
    (folder / "queries.jsonl").write_text(f'{{"_id": "q", "text": {json.dumps(SEPARATE)}}}\n')
    references = References.of(read_references([tmp_path / "sets"]))
    references.save(tmp_path / "index.npz")
    references = References.load(tmp_path / "index.npz")

    def found(text, whole_file):
        match = references.find(fingerprint(tokens(text)), whole_file)
        return match and match.name.rpartition("/")[2]

    bare = FUNCTION.replace('    """Merge the intervals that overlap or nearly touch."""\n', "")
    renamed = bare.replace("tolerance", "slack").replace("    ", "\t")
    assert [found(SEPARATE + text + SEPARATE, True) for text in (FUNCTION, bare, renamed, OTHER)] == ["d1"] * 3 + ["d2"]
    assert [found(text, True) for text in (SEPARATE, "x = sorted(y)\n" * 9)] == [None, None]
    inner = undocumented.partition("def dispatch")[2]
    assert found("def dispatch" + inner, False) == "d2"
    assert found(bare, False) == "d1"
    rules = Rules(("permissive",), 250_000, 1.0, tmp_path / "index.npz")
    whole, row = process(source(SEPARATE + FUNCTION), rules).compared[0], process(source(FUNCTION), rules).compared[1]
    assert whole.match == row.match == "one/corpus/d1"
    assert row.share == 1.0


SEPARATE = """
def read_lines(path, limit):
    with open(path, encoding="ascii") as stream:
        lines = [line.rstrip() for line in stream if not line.startswith("#")]
    if len(lines) > limit:
        raise ValueError(f"{path} has {len(lines)} lines, {limit} are allowed")
    return lines
"""


def test_a_folder_without_an_evaluation_set_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no evaluation set"):
        list(read_references([tmp_path]))
    (tmp_path / "corpus.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"corpus\.jsonl"):
        list(read_references([tmp_path]))


def test_shingles_of_many_references_tell_nothing():
    frame = "".join(
        f"int main(void) {{ int n = read({i % 2}); solve(n, other, more, things); return 0; }}\n" for i in range(8)
    )
    many = References.of(Reference(f"p{i}", frame + FUNCTION.replace("merged", f"m{i}")) for i in range(60))
    assert many.looked_for == 60
    assert many.find(fingerprint(tokens(frame)), whole_file=True) is None
    few = References.of([Reference("p0", frame)])
    assert few.find(fingerprint(tokens(frame)), whole_file=True) == ("p0", 1.0)
