"""The file of an index: an SQLite database of files, functions, embeddings and words.

Contract: `Store.open` makes or opens `open-codesage-index.sqlite` in a folder of its own, and refuses one that was made
under other settings. `write` puts in whole files, with their functions, in one transaction; `embeddings` gives one row
per function in the order of paths and lines, whatever the order of writing; `word_scores` is BM25 by SQLite's
full-text index.

Invariants: after a kill at any moment the database holds what the last finished transaction left. An embedding is kept
once per text, under its digest. What a file had goes when the file goes.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .chunks import FileFunctions, IndexedFunction

NAME = "open-codesage-index.sqlite"
Setting = str | int | None
_WAIT_SECONDS = 30.0
_SHOWN = 12
"""Characters of a setting that an error shows: hashes are long."""

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE files (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, language TEXT NOT NULL, digest BLOB NOT NULL, skipped TEXT
);
CREATE TABLE texts (digest BLOB PRIMARY KEY, embedding BLOB NOT NULL);
CREATE TABLE functions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
  text BLOB NOT NULL REFERENCES texts, name TEXT NOT NULL, signature TEXT NOT NULL,
  start_line INTEGER NOT NULL, end_line INTEGER NOT NULL
);
CREATE INDEX functions_by_file ON functions (file);
CREATE INDEX functions_by_text ON functions (text);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = "unicode61 remove_diacritics 0");
"""


class Store:
    """An open database.

    Args:
        file: the database.
        connection: a connection to it.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.file, self._connection = file, connection

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Setting], rebuild: bool = False) -> "Store":
        """Open the database of a folder, or make it.

        Args:
            folder: where it is.
            settings: what has to be equal for an index to be of use, by name.
            rebuild: start with an empty one.

        Raises:
            ValueError: it was made under other settings, is damaged, or can not be made or opened.
        """
        file = folder / NAME
        if rebuild:
            for path in (file, file.with_name(f"{NAME}-journal")):
                path.unlink(missing_ok=True)
        with _explained(file):
            connection = sqlite3.connect(file, timeout=_WAIT_SECONDS, isolation_level=None)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
        store = cls(file, connection)
        try:
            store.require(settings)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def digests(self) -> dict[str, tuple[str, bytes]]:
        """Language and digest of every file in the index, by path."""
        return {
            path: (language, digest)
            for path, language, digest in self._rows("SELECT path, language, digest FROM files")
        }

    def skipped(self) -> list[tuple[str, str]]:
        """Paths of the files that gave no functions, and why."""
        return self._rows("SELECT path, skipped FROM files WHERE skipped IS NOT NULL ORDER BY path")

    def counts(self) -> tuple[int, int]:
        """How many files are indexed, and how many functions."""
        ((files, functions),) = self._rows(
            "SELECT (SELECT count(*) FROM files WHERE skipped IS NULL), (SELECT count(*) FROM functions)"
        )
        return files, functions

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of some texts whose embedding is not there."""
        return {digest for digest in digests if not self._rows("SELECT 1 FROM texts WHERE digest = ?", (digest,))}

    def write(
        self,
        files: Sequence[FileFunctions],
        embeddings: Mapping[bytes, npt.NDArray[np.float32]],
        words: Mapping[IndexedFunction, str],
    ) -> None:
        """Put in some files, all or none, in the place of what was there of them.

        Args:
            files: the files with their functions.
            embeddings: of texts that are `missing`, float32 [D] each, by digest.
            words: of every function the words that BM25 is to see, with blanks between.
        """
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO texts VALUES (?, ?)", ((key, row.tobytes()) for key, row in embeddings.items())
            )
            for each in files:
                self._put(connection, each, words)

    def _put(self, connection: sqlite3.Connection, each: FileFunctions, words: Mapping[IndexedFunction, str]) -> None:
        file = each.file
        _remove(connection, file.path)
        number = connection.execute(
            "INSERT INTO files (path, language, digest, skipped) VALUES (?, ?, ?, ?)",
            (file.path, file.language, file.digest, each.skipped),
        ).lastrowid
        for function in each.functions:
            row = (number, function.digest, function.name, function.signature, function.start_line, function.end_line)
            inserted = connection.execute(
                "INSERT INTO functions (file, text, name, signature, start_line, end_line) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
            connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (inserted.lastrowid, words[function]))

    def forget(self, paths: Iterable[str]) -> None:
        """Take out files."""
        with self._transaction() as connection:
            for path in paths:
                _remove(connection, path)

    def forget_unused_texts(self) -> None:
        """Take out the embeddings of texts that no function has any more."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM texts WHERE digest NOT IN (SELECT text FROM functions)")

    def version(self) -> int:
        """A number that changes when another process has written."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def embeddings(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Read what the functions look like to the encoder.

        Returns:
            Their ids, int64 [N], in the order of paths and lines, and their embeddings, float32 [N, D].

        Raises:
            ValueError: the database is damaged.
        """
        rows = self._rows(
            "SELECT functions.id, embedding FROM functions JOIN texts ON texts.digest = functions.text "
            "JOIN files ON files.id = functions.file ORDER BY path, start_line, functions.id"
        )
        if len({len(embedding) for _, embedding in rows}) > 1:
            raise ValueError(f"{self.file} is damaged (embeddings differ in length): --rebuild makes it anew")
        ids = np.array([number for number, _ in rows], dtype=np.int64)
        flat = np.frombuffer(b"".join(embedding for _, embedding in rows), dtype=np.float32)
        return ids, flat.reshape(len(rows), -1)

    def word_scores(self, words: Sequence[str]) -> list[tuple[int, float]]:
        """BM25 scores of the functions that have one of some words, by id, higher is better."""
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)  # words are letters or digits, so no quotation marks
        return self._rows("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", (query,))

    def functions(self, ids: Iterable[int]) -> list[tuple[str, str, str, str, int, int] | None]:
        """Path, language, name, signature, first and last line of functions; None for one that is gone."""
        statement = (
            "SELECT path, language, name, signature, start_line, end_line FROM functions "
            "JOIN files ON files.id = functions.file WHERE functions.id = ?"
        )
        return [next(iter(self._rows(statement, (number,))), None) for number in ids]

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list:
        with _explained(self.file):
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _explained(self.file):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def require(self, settings: Mapping[str, Setting]) -> None:
        """Make the tables of a new database, and give an empty one these settings.

        Raises:
            ValueError: it holds something, and was made under other settings.
        """
        wanted = {name: json.dumps(value) for name, value in settings.items()}
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
            if not connection.execute("SELECT 1 FROM files").fetchone():  # empty, it may have been opened in error
                connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", wanted.items())
            made = dict(connection.execute("SELECT name, value FROM settings"))
        differing = [
            f"{name} ({made.get(name, 'none')[:_SHOWN]}, now {value[:_SHOWN]})"
            for name, value in wanted.items()
            if made.get(name) != value
        ]
        if differing:
            raise ValueError(
                f"the index {self.file} was made with another {', another '.join(differing)}: --rebuild makes it anew, "
                "--index FOLDER keeps one beside it, or go back to what it was made with"
            )


def make_folder(folder: Path) -> None:
    """Make a folder for an index if it is missing, and let git ignore it.

    Raises:
        ValueError: it can not be made, or is a file.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o700)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"the index folder {folder} can not be made: {error.strerror}; give another --index"
        ) from error


def _remove(connection: sqlite3.Connection, path: str) -> None:
    """Delete a file and what hangs on it."""
    functions = "SELECT functions.id FROM functions JOIN files ON files.id = functions.file WHERE path = ?"
    connection.execute(f"DELETE FROM words WHERE rowid IN ({functions})", (path,))
    connection.execute("DELETE FROM files WHERE path = ?", (path,))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, to be executed in a transaction (`executescript` would end it)."""
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Say what an error of the database means."""
    try:
        yield
    except sqlite3.Error as error:
        if "no such module: fts5" in str(error):
            raise ValueError("the SQLite of this Python has no full-text search (FTS5): use another Python") from error
        if isinstance(error, sqlite3.OperationalError) and not str(error).startswith("no such"):
            raise ValueError(f"the index {file} can not be used: {error}") from error
        raise ValueError(
            f"{file} is damaged, or no index of this program ({error}): --rebuild makes it anew"
        ) from error
