"""The file of an index: an SQLite database of contents, their units, embeddings and words, and of trees that hold them.

Contract: what is known of a content (of a file's bytes, in a language) is kept once, under its digest, however many
files in however many trees have it: two work trees of a repository are parsed and embedded once. `write` puts in whole
contents in one transaction; `set_files` says what a tree holds; `load` reads a tree as a `Collection`, in the order of
paths and lines, whatever the order of writing.

Invariants: after a kill at any moment the database holds what the last finished transaction left. An embedding is kept
once per text, as float16. What no tree holds any more goes with `forget_unused`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .collection import Collection, IndexedUnit
from .files import Stamp, TreeFile
from .reading import ReadFile

NAME = "open-codesage-index.sqlite"
Setting = str | int | None
_WAIT_SECONDS = 30.0
_SEPARATOR = "\n"
"""Between names: none holds a line end."""

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE trees (id INTEGER PRIMARY KEY, root BLOB NOT NULL, scope TEXT NOT NULL, UNIQUE (root, scope));
CREATE TABLE contents (
  id INTEGER PRIMARY KEY, digest BLOB NOT NULL, language TEXT NOT NULL, skipped TEXT, UNIQUE (digest, language)
);
CREATE TABLE files (
  tree INTEGER NOT NULL REFERENCES trees ON DELETE CASCADE, path TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents, size INTEGER NOT NULL, modified INTEGER NOT NULL,
  PRIMARY KEY (tree, path)
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (content);
CREATE TABLE texts (digest BLOB PRIMARY KEY, embedding BLOB NOT NULL);
CREATE TABLE units (
  id INTEGER PRIMARY KEY, content INTEGER NOT NULL REFERENCES contents ON DELETE CASCADE,
  text BLOB NOT NULL REFERENCES texts, kind TEXT NOT NULL, names TEXT NOT NULL, scope TEXT NOT NULL,
  signature TEXT NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, words BLOB NOT NULL
);
CREATE INDEX units_by_content ON units (content);
CREATE INDEX units_by_text ON units (text);
"""


class Known(NamedTuple):
    """A file as a tree in the index has it."""

    language: str
    digest: bytes
    stamp: Stamp
    skipped: str | None


class OtherSettings(ValueError):
    """An index that was made under other settings.

    Attributes:
        names: of the settings that differ.
    """

    def __init__(self, names: list[str], message: str) -> None:
        super().__init__(message)
        self.names = names


class Damaged(ValueError):
    """A file that is no index, or no longer one."""


class Database:
    """An open database.

    Args:
        file: where it is.
        connection: a connection to it.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.file, self._connection = file, connection

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Setting]) -> Database:
        """Open the database of a folder, or make it.

        Args:
            folder: where it is.
            settings: what has to be equal for an index to be of use, by name.

        Raises:
            OtherSettings: it was made under other settings.
            Damaged: it is damaged, or another file.
            ValueError: it cannot be made or opened.
        """
        file = folder / NAME
        with _explained(file):
            connection = sqlite3.connect(file, timeout=_WAIT_SECONDS, isolation_level=None)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
        database = cls(file, connection)
        try:
            database.require(settings)
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds a database."""
        return (folder / NAME).exists()

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete the database of a folder."""
        for name in (NAME, f"{NAME}-journal", f"{NAME}-wal", f"{NAME}-shm"):
            (folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def tree(self, root: Path, scope: str) -> int:
        """The number of a tree, which is made if it is new.

        Args:
            root: its folder, absolute.
            scope: which files of it are indexed.
        """
        key = (os.fsencode(root), scope)
        found = self._rows("SELECT id FROM trees WHERE root = ? AND scope = ?", key)
        if not found:
            with self._transaction() as connection:
                connection.execute("INSERT OR IGNORE INTO trees (root, scope) VALUES (?, ?)", key)
            found = self._rows("SELECT id FROM trees WHERE root = ? AND scope = ?", key)
        return int(found[0][0])

    def trees(self) -> list[tuple[Path, str, int]]:
        """Root, scope and number of files of the trees."""
        rows = self._rows(
            "SELECT root, scope, (SELECT count(*) FROM files WHERE tree = trees.id) FROM trees ORDER BY root, scope"
        )
        return [(Path(os.fsdecode(root)), scope, count) for root, scope, count in rows]

    def files(self, tree: int) -> dict[str, Known]:
        """The files of a tree, by path."""
        rows = self._rows(
            "SELECT path, language, digest, size, modified, skipped FROM files "
            "JOIN contents ON contents.id = content WHERE tree = ?",
            (tree,),
        )
        return {
            path: Known(language, digest, Stamp(size, modified), skipped)
            for path, language, digest, size, modified, skipped in rows
        }

    def counts(self, tree: int) -> tuple[int, int]:
        """How many files of a tree have units, and how many units they have."""
        ((files, units),) = self._rows(
            "SELECT count(DISTINCT path), count(units.id) FROM files JOIN units ON units.content = files.content "
            "WHERE tree = ?",
            (tree,),
        )
        return files, units

    def lacking(self, contents: Iterable[tuple[bytes, str]]) -> set[tuple[bytes, str]]:
        """Those of some contents (digest, language) that are not there."""
        return {
            each
            for each in contents
            if not self._rows("SELECT 1 FROM contents WHERE digest = ? AND language = ?", each)
        }

    def missing_texts(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of some texts whose embedding is not there."""
        return {digest for digest in digests if not self._rows("SELECT 1 FROM texts WHERE digest = ?", (digest,))}

    def write(self, files: Sequence[ReadFile], embeddings: Mapping[bytes, npt.NDArray[np.float32]]) -> None:
        """Put in the contents of some files, all or none.

        Args:
            files: files that were read.
            embeddings: of texts that were missing, float32 [D] each, by digest.
        """
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO texts VALUES (?, ?)",
                ((digest, row.astype(np.float16).tobytes()) for digest, row in embeddings.items()),
            )
            for each in files:
                _write_content(connection, each)

    def set_files(self, tree: int, files: Iterable[TreeFile], gone: Iterable[str]) -> None:
        """Say what a tree holds.

        Args:
            tree: its number.
            files: files that are new in it, or have changed; their contents have been written.
            gone: paths that are no longer in it.
        """
        with self._transaction() as connection:
            connection.executemany("DELETE FROM files WHERE tree = ? AND path = ?", ((tree, path) for path in gone))
            connection.executemany(
                "INSERT OR REPLACE INTO files SELECT ?, ?, id, ?, ? FROM contents WHERE digest = ? AND language = ?",
                ((tree, each.path, *each.stamp, each.digest, each.language) for each in files),
            )

    def forget_unused(self) -> None:
        """Take out what no tree holds."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM contents WHERE id NOT IN (SELECT content FROM files)")
            connection.execute("DELETE FROM texts WHERE digest NOT IN (SELECT text FROM units)")

    def version(self) -> int:
        """A number that changes when another process has written."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def load(self, tree: int) -> Collection:
        """Read what is searched in a tree.

        Raises:
            Damaged: the database is damaged.
        """
        rows = self._rows(
            "SELECT path, language, kind, names, units.scope, signature, start_line, end_line, words, embedding "
            "FROM files JOIN contents ON contents.id = files.content JOIN units ON units.content = contents.id "
            "JOIN texts ON texts.digest = units.text WHERE tree = ? ORDER BY path, start_line, end_line, units.id",
            (tree,),
        )
        numbers: dict[str, int] = {}
        languages: list[str] = []
        units: list[IndexedUnit] = []
        for path, language, kind, names, scope, signature, start, end, _, _ in rows:
            if path not in numbers:
                numbers[path] = len(numbers)
                languages.append(language)
            units.append(IndexedUnit(numbers[path], kind, _names(names), _names(scope), signature, start, end))
        if len({len(row[-1]) for row in rows}) > 1:
            raise Damaged(f"{self.file} is damaged (embeddings differ in length)")
        flat = np.frombuffer(b"".join(row[-1] for row in rows), dtype=np.float16)
        keys = np.frombuffer(b"".join(row[-2] for row in rows), dtype=np.uint32)
        counts = np.array([len(row[-2]) // keys.itemsize for row in rows], dtype=np.int64)
        embeddings = flat.astype(np.float32).reshape(len(rows), -1) if rows else np.zeros((0, 1), np.float32)
        return Collection(list(numbers), languages, units, embeddings, keys, counts)

    def require(self, settings: Mapping[str, Setting]) -> None:
        """Make the tables of a new database, and give an empty one these settings.

        Raises:
            OtherSettings: it holds something, and was made under other settings.
        """
        wanted = {name: json.dumps(value) for name, value in settings.items()}
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
            if not connection.execute("SELECT 1 FROM contents").fetchone():  # empty, it may have been opened in error
                connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", wanted.items())
            made = dict(connection.execute("SELECT name, value FROM settings"))
        differing = [name for name, value in wanted.items() if made.get(name) != value]
        if differing:
            raise OtherSettings(
                differing, f"the index {self.file} was made with another {', another '.join(differing)}"
            )

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with _explained(self.file):
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _explained(self.file):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._connection.execute("ROLLBACK")
                raise


def make_folder(folder: Path) -> None:
    """Make a folder for an index if it is missing, and let git ignore it.

    Raises:
        ValueError: it cannot be made, or is a file.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o700)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"the index folder {folder} cannot be made: {error.strerror}; give another --index") from error


def _write_content(connection: sqlite3.Connection, each: ReadFile) -> None:
    key = (each.file.digest, each.file.language)
    if connection.execute("SELECT 1 FROM contents WHERE digest = ? AND language = ?", key).fetchone():
        return
    number = connection.execute(
        "INSERT INTO contents (digest, language, skipped) VALUES (?, ?, ?)", (*key, each.skipped)
    ).lastrowid
    connection.executemany(
        "INSERT INTO units (content, text, kind, names, scope, signature, start_line, end_line, words) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                read.digest,
                read.unit.kind,
                _SEPARATOR.join(read.unit.names),
                _SEPARATOR.join(read.unit.scope),
                read.signature,
                read.unit.start_line,
                read.unit.end_line,
                read.keys.tobytes(),
            )
            for read in each.units
        ),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(_SEPARATOR)) if text else ()


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, to be executed in a transaction (`executescript` would end it)."""
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Say what an error of the database means."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            raise ValueError(
                f"the index {file} cannot be written, the disk of {file.parent} is full or failing ({error}): free "
                "some space and run it again, what was indexed so far is kept; or name another folder by --index"
            ) from error
        if isinstance(error, sqlite3.OperationalError) and not str(error).startswith("no such"):
            raise ValueError(f"the index {file} cannot be used: {error}") from error
        raise Damaged(f"{file} is damaged, or no index of this program ({error})") from error
