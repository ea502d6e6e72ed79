"""A corpus packed for the way comes out as it went in, smaller on the way, or is refused."""

import json
import tarfile

import pytest
from open_codesage.tokenization.functions import extract_functions
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.train.corpus import travel
from open_codesage.train.corpus.corpus import FILE_COLUMNS, FUNCTION_COLUMNS, Corpus, PartWriter
from open_codesage.train.corpus.examine import ROW
from open_codesage.train.corpus.reassembly import PIECE, files_of

SOURCES = {
    "python": '''
class Shelf:
    """A shelf."""

    @cached
    def find(self, name, *, deep=False):
        """Find a book
        by its name. It may be hidden.

        Args:
            name: Its name.
        """
        for book in self.books:
            if book.name == name:
                return book

            log(book)
        return None if deep else self.find(name, deep=True)


def count(shelf):
    """Count the books.

    They are real.
    """
    def one(book):
        """Count a book that is not lent."""
        lent = book.lent
        return 0 if lent else 1

    return sum(map(one, shelf))
''',
    "java": """
public class Shelf {
    /** Adds a book; "*&#47;" ends no comment. */
    @Override
    public int add(Book book) {
        if (book == null) { return 0; }
        books.add(book); return 1; }

    /** Removes {@code book} from this shelf. */
    void remove(Book book) {
        books.remove(book);
    }
}
""",
    "javascript": """
/** Opens the shelf of a name. */
export function open(name) {
  const shelf = find(name);
  return shelf;
}

class Shelf {
  /** Closes it, for good. */
  async close(reason) {
    await this.lock(reason);
    return reason;
  }
}

/** Opens one more shelf. */
Shelf.again = function (name) {
  return open(name);
};
""",
    "php": """<?php
class Shelf {
    /** Adds a book to it ?> as it is. */
    public function add(Book $book): int {
        $this->books[] = $book;
        return count($this->books);
    }
}
""",
    "c": """
/* Counts the books of a shelf. */
static int count(const struct shelf *shelf)
{
    int total = 0;
    for (int i = 0; i < shelf->length; i++)
        total += shelf->books[i].copies;
    return total;
}
""",
}
ORIGIN = {"licence": "MIT"}


def rows_of(language, unit):
    functions = extract_functions(SOURCES[language], language)
    origin = {"language": language, "path": f"{unit}/Shelf.{language}", "unit": unit, **ORIGIN}
    return [{**{name: getattr(function, name) for name in ROW}, **origin} for function in functions]


@pytest.fixture(scope="module")
def rows():
    """Functions of every language in one unit each, and of Python in a held-out one; all that differs from the rule."""
    rows = [row for language in SOURCES for row in rows_of(language, f"unit-{language}")]
    held_out = [{**row, "code": row["code"] + f"\n# {n}"} for n in range(5) for row in rows_of("python", "secret")]
    odd = {
        **rows[0],
        "name": "=odd name",
        "summary": "Said nowhere.",
        "hard_positive": "=\n\n3\n  not a line of the code",
        "code": "ünïcödé = 'a'\n\treturn\n",
        "start_line": 7_000,
        "end_line": 6_000,
        "unit": "unit-odd",
    }
    long = {**rows[0], "code": rows[0]["code"] * 50, "unit": "unit-long"}
    return [*rows, odd, long, *held_out]


@pytest.fixture(scope="module")
def corpus(rows, tmp_path_factory):
    """A corpus folder of these rows."""
    folder = tmp_path_factory.mktemp("travel") / "corpus"
    with PartWriter(folder / "files", FILE_COLUMNS) as files:
        files.write({"text": "x = 1\n", "language": "python", "path": "a", "unit": "unit-python", **ORIGIN})
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as writer:
        for row in rows:
            writer.write(row)
    (folder / "held_out.json").write_text(json.dumps({"units": ["secret"]}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def packed(corpus):
    """The corpus, packed in several streams."""
    output = corpus.parent / "corpus.tar"
    travel.pack(corpus, output, block_characters=400, workers=1)
    return output


@pytest.fixture(scope="module")
def unpacked(packed):
    """The corpus, unpacked."""
    output = packed.parent / "unpacked"
    travel.unpack(packed, output, workers=1)
    return Corpus(output)


def in_order(rows):
    return sorted(rows, key=lambda row: (row["language"], row["unit"], row["path"], row["start_line"], row["code"]))


def test_every_row_comes_back_as_it_was(rows, unpacked):
    back = [row for split in ("train", "held_out") for row in unpacked.functions(split)]
    assert in_order(back) == in_order(rows)
    assert len(unpacked.functions("held_out")) == 5 * len(rows_of("python", "secret"))


def test_what_the_code_tells_is_not_stored(rows):
    ordinary = [row for row in rows if row["unit"].startswith("unit-") and row["unit"] != "unit-odd"]
    stored = [travel._lines_to_text(row["hard_positive"], row["code"]) for row in ordinary]
    assert sum(map(len, stored)) < 0.35 * sum(len(row["hard_positive"]) for row in ordinary)
    assert travel._summary_to_text("Find a book by its name.", ordinary[0]["documentation"]) == "6"
    assert travel._name_to_text("find", "@cached\ndef find(self)") == "2"


def test_the_same_corpus_gives_the_same_bytes(corpus, packed, tmp_path):
    travel.pack(corpus, tmp_path / "again.tar", block_characters=400, workers=2)
    assert (tmp_path / "again.tar").read_bytes() == packed.read_bytes()


def test_long_functions_and_held_out_ones_beyond_a_number_stay_behind_and_are_counted(corpus, tmp_path):
    found = travel.pack(corpus, tmp_path / "short.tar", most_characters=1000, held_out=3, workers=1)
    assert found.left_out == {"too_long": 1, "not_sampled": 12}
    assert found.held_out == 3
    assert travel.unpack(tmp_path / "short.tar", tmp_path / "short", workers=1) == found
    assert len(Corpus(tmp_path / "short").functions("held_out")) == 3


def test_a_bound_on_the_size_is_kept(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"the limit is 0\.0 MiB: choose a smaller most_characters"):
        travel.pack(corpus, tmp_path / "corpus.tar", most_bytes=1000, workers=1)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(corpus, packed):
    with pytest.raises(ValueError, match="already there"):
        travel.pack(corpus, packed)


def test_a_nul_is_refused_with_its_place(rows, corpus, tmp_path):
    folder = tmp_path / "corpus"
    with PartWriter(folder / "functions", FUNCTION_COLUMNS) as writer:
        writer.write(rows[0] | {"documentation": "a\0b"})
    (folder / "held_out.json").write_text('{"units": []}', "utf-8")
    with pytest.raises(ValueError, match=rf"{rows[0]['path']}, line {rows[0]['start_line']}: its documentation"):
        travel.pack(folder, tmp_path / "corpus.tar", workers=1)


@pytest.mark.parametrize("damage", ["cut", "byte", "part", "foreign"])
def test_a_damaged_file_is_refused_and_leaves_nothing(packed, tmp_path, damage):
    copy = tmp_path / "copy.tar"
    data = bytearray(packed.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "byte":
        with tarfile.open(packed) as archive:
            member = archive.getmember("functions-00001.xz")
        data[member.offset_data + member.size // 2] ^= 1
    elif damage == "foreign":
        data = bytearray(b"no archive at all" * 100)
    copy.write_bytes(data)
    if damage == "part":
        with tarfile.open(packed) as old, tarfile.open(copy, "w") as new:
            for member in old.getmembers()[:-1]:
                new.addfile(member, old.extractfile(member))
    with pytest.raises(ValueError, match="copy it again"):
        travel.unpack(copy, tmp_path / "corpus", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.tar"]


def test_another_version_is_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(travel, "_VERSION", 2)
    with pytest.raises(ValueError, match="another version of this package"):
        travel.unpack(packed, tmp_path / "corpus")


@pytest.mark.parametrize("language", SOURCES)
def test_files_of_functions_have_names_and_documentation(language):
    rows = rows_of(language, "unit")
    [file] = files_of(rows)
    outer = [row for row in rows if row["name"] != "one"]
    for row in outer:
        assert file["text"].count(row["code"]) == 1
    found = extract_functions(file["text"], language)
    names = {identifier.name for identifier in find_identifiers(file["text"], language)}
    assert {row["name"] for row in outer} <= names
    if language != "python":  # whose documentation would stand inside
        assert [function.name for function in found] == [row["name"] for row in outer]
        assert [function.code for function in found] == [row["code"] for row in outer]


def test_a_function_inside_another_is_there_once():
    [file] = files_of(rows_of("python", "unit"))
    assert file["text"].count("def one(") == 1


def test_long_files_are_pieces_and_no_function_is_lost():
    row = rows_of("python", "unit")[0]
    many = [{**row, "name": f"f{n}", "start_line": 20 * n + 1, "end_line": 20 * n + 10} for n in range(40)]
    files = list(files_of(many))
    assert len(files) > 1
    assert all(len(file["text"]) < 1.2 * PIECE for file in files)
    assert sum(file["text"].count(row["code"]) for file in files) == 40
