"""A searchable index of trees of source code.

Contract: `Index.open(trees, model)` opens or makes the index, `update()` makes it agree with the trees, and
`search(query, k)` ranks their units. A content is parsed once and a text is embedded once, whatever files hold it;
files that are gone leave the index. An index that other rules or another model have made, or that is damaged, is made
anew.

Invariants: an update that is killed loses at most the block it was at, and the next resumes behind it. One process at a
time updates an index. Everything that is left out is reported with its reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt

from ..common.console import note
from ..common.identity import identify
from ..common.workers import Loss, cores, in_batches, map_in_workers
from . import repository
from .collection import Collection
from .configs import require_query
from .database import Damaged, Database, OtherSettings, Setting, make_folder
from .encoders import TextEncoder, open_encoder
from .files import Survey, TreeFile, require_folder, survey
from .filters import Filters
from .ranking import ALIKE, Ranked, rank
from .reading import ReadFile, chunker, read_units
from .released import released_model
from .signals import Question

_FORMAT = 2
_FILES_PER_MESSAGE = 8
_BATCH_SECONDS = 120.0
"""Far above what the limits of the parser allow for as many files."""
_BLOCK = 512
"""Units per transaction, at least; the rest of the last one's file comes with it."""
_LOCK_SECONDS = 600.0
_ROUNDS = 3
"""How often files are read that change while they are read."""


@dataclass(frozen=True)
class Hit:
    """A unit that was found.

    Attributes:
        tree: the folder that was searched, as it was given.
        path: path of its file below the tree, with slashes.
        line: its first line, from 1.
        end_line: its last line, inclusive.
        name: what it defines, or what it is part of; empty if that has no name.
        kind: "function", "class" or another kind of definition, "code", "section".
        language: its language.
        signature: on one line, as it is in the file.
        score: by which it was ranked; comparable within one search only.
        cosine: of its embedding and the query's.
    """

    tree: str
    path: str
    line: int
    end_line: int
    name: str
    kind: str
    language: str
    signature: str
    score: float
    cosine: float


@dataclass
class Update:
    """What an update has done.

    Attributes:
        files: files in the index.
        units: units in the index.
        parsed: contents that were parsed.
        embedded: texts that were embedded.
        removed: files that left the index.
        skipped: paths that are not in the index, by reason.
        seconds: how long it took.
    """

    files: int = 0
    units: int = 0
    parsed: int = 0
    embedded: int = 0
    removed: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class _Tree:
    """A tree and the database that holds it."""

    given: str
    root: Path
    database: Database
    number: int


class Index:
    """An open index; use `Index.open`, and close it or use it in a `with` block."""

    def __init__(self, trees: list[_Tree], model: str, encoder: TextEncoder, settings: dict[str, Setting]) -> None:
        self.model = model
        self._trees, self._encoder, self._settings = trees, encoder, settings
        self._docs, self._workers = False, cores()
        self._loaded: tuple[list[int], Collection, list[_Tree]] | None = None

    @classmethod
    def open(
        cls,
        trees: str | Path | Sequence[str | Path],
        model: str | None = None,
        *,
        folder: Path | None = None,
        dimension: int | None = None,
        docs: bool = False,
        rebuild: bool = False,
        workers: int | None = None,
    ) -> Index:
        """Open the index of one or several trees, or make an empty one.

        Args:
            trees: folders of source code.
            model: folder or Hub id of the encoder; the released one if None.
            folder: where the index is kept; a folder in the user's cache if None.
            dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if None.
            docs: index documents as well.
            rebuild: begin anew.
            workers: processes that parse; one per core if None.

        Raises:
            ValueError: a tree or the model cannot be opened, or another process has held the index for too long.
        """
        roots = _outermost([trees] if isinstance(trees, str | Path) else trees)
        model = model or released_model()
        settings: dict[str, Setting] = {
            "format": _FORMAT,
            "model": identify(model).hash,
            "dimension": dimension,
            "chunker": chunker(),
        }
        opened: list[_Tree] = []
        try:
            for given, root in roots:
                where = (folder or default_folder(root)).absolute()
                database = _open_database(
                    where, settings, rebuild and where not in (t.database.file.parent for t in opened)
                )
                opened.append(_Tree(given, root, database, database.tree(root, "docs" if docs else "code")))
            index = cls(opened, model, open_encoder(model, dimension), settings)
        except BaseException:
            for each in opened:
                each.database.close()
            raise
        index._docs, index._workers = docs, workers or cores()
        return index

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        for each in self._trees:
            each.database.close()

    def update(self, show_progress: bool = False) -> Update:
        """Make the index agree with the trees.

        Args:
            show_progress: show a bar on standard error.

        Raises:
            ValueError: another process updates the index for too long, or the index cannot be written.
            RuntimeError: worker processes cannot start.
        """
        begin = time.perf_counter()
        done = Update()
        for tree in self._trees:
            with _lock(tree.database.file.parent, tree.root):
                tree.database.require(self._settings)  # empty, it may have been opened with another model since
                self._update(tree, done, show_progress)
        self._loaded = None
        done.seconds = time.perf_counter() - begin
        return done

    def search(self, query: str, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Rank the units that the last update has put in.

        Args:
            query: what to look for, in words or in code.
            k: how many to give.
            filters: which may be given; all if None.

        Returns:
            Up to `k` of them, best first; none if nothing passes the filters.

        Raises:
            ValueError: the query is empty or not UTF-8, or `k` is below 1.
        """
        _require_positive(k)
        require_query(query)
        searched, _ = self._load()
        if not searched.units:
            return []
        asked = Question(query, self._encoder.queries([query])[0], searched)
        return self._hits(asked, rank(asked, k, _mask(filters, searched)))

    def related(self, path: str | Path, line: int, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Rank the units by how like they are to the one at a place.

        Args:
            path: a file: below a tree as it was given, or below the tree itself.
            line: a line of it, from 1.
            k: how many to give.
            filters: which may be given; all if None.

        Raises:
            ValueError: nothing is indexed at that place, or `k` is below 1.
        """
        _require_positive(k)
        searched, trees = self._load()
        place = self._unit_at(searched, trees, Path(path), line)
        unit = searched.units[place]
        text = " ".join((*unit.scope, *unit.names, unit.signature))
        asked = Question(text, searched.embeddings[place], searched)
        others = np.ones(len(searched.units), dtype=np.bool_)
        for number, other in enumerate(searched.units):
            if other.file == unit.file and other.start_line <= unit.end_line and other.end_line >= unit.start_line:
                others[number] = False
        mask = _mask(filters, searched)
        return self._hits(asked, rank(asked, k, others if mask is None else others & mask, ALIKE))

    def status(self) -> Update:
        """What is in the index, and what the trees hold that is not, without a change to it."""
        done = Update()
        for tree in self._trees:
            found = survey(tree.root, self._docs, self._known(tree))
            self._count(tree, found, done)
        return done

    def sizes(self) -> dict[Path, int]:
        """The files of the index, and their size in bytes."""
        return {tree.database.file: tree.database.file.stat().st_size for tree in self._trees}

    def _unit_at(self, searched: Collection, trees: list[_Tree], path: Path, line: int) -> int:
        best: tuple[int, int] | None = None
        for number, unit in enumerate(searched.units):
            if not unit.start_line <= line <= unit.end_line:
                continue
            tree, inside = trees[unit.file], searched.paths[unit.file]
            if path.as_posix() == inside or path.resolve() == tree.root / inside:
                width = unit.end_line - unit.start_line
                if best is None or width < best[0]:
                    best = width, number
        if best is None:
            raise ValueError(f"nothing is indexed at {path}:{line}: give a file of the tree, and a line of code in it")
        return best[1]

    def _hits(self, asked: Question, ranked: list[Ranked]) -> list[Hit]:
        searched, trees = self._load()
        hits = []
        for number, score in ranked:
            unit = searched.units[number]
            hits.append(
                Hit(
                    trees[unit.file].given,
                    searched.paths[unit.file],
                    unit.start_line,
                    unit.end_line,
                    unit.name,
                    unit.kind,
                    searched.languages[unit.file],
                    unit.signature,
                    score,
                    float(asked.cosines[number]),
                )
            )
        return hits

    def _load(self) -> tuple[Collection, list[_Tree]]:
        """What is searched, and the tree of each file."""
        versions = [tree.database.version() for tree in self._trees]
        if self._loaded is None or self._loaded[0] != versions:
            parts = []
            for tree in self._trees:
                tree.database.require(self._settings)
                parts.append(tree.database.load(tree.number))
            of_files = [tree for tree, part in zip(self._trees, parts, strict=True) for _ in part.paths]
            self._loaded = versions, Collection.joined(parts), of_files
        return self._loaded[1:]

    def _update(self, tree: _Tree, done: Update, show_progress: bool) -> None:
        database = tree.database
        known = self._known(tree)
        found = survey(tree.root, self._docs, known)
        files = {file.path: file for file in found.files}
        gone = known.keys() - files.keys()
        changed = [path for path, file in files.items() if known.get(path) != file]
        for _ in range(_ROUNDS):
            lacking = database.lacking(
                {(files[path].digest, files[path].language) for path in changed if path in files}
            )
            todo = {(file.digest, file.language): file for file in map(files.get, changed) if file is not None}
            todo = {key: file for key, file in todo.items() if key in lacking}
            if not todo:
                break
            for block in _blocks(self._parse(tree.root, list(todo.values()), show_progress)):
                done.parsed += len(block)
                for read in block:
                    if read.skipped == "unreadable":
                        del files[read.file.path]
                        found.skip(read.file.path, "unreadable")
                    elif read.file.digest != files[read.file.path].digest:
                        files[read.file.path] = read.file  # it has changed since
                done.embedded += self._write(database, [read for read in block if read.skipped != "unreadable"])
        if changed or gone:
            database.set_files(
                tree.number, [files[path] for path in changed if path in files], [*gone, *(known.keys() - files.keys())]
            )
            database.forget_unused()
        done.removed += len(gone)
        self._count(tree, found, done)

    def _known(self, tree: _Tree) -> dict[str, TreeFile]:
        """The files of a tree as the index has them."""
        held = tree.database.files(tree.number)
        return {path: TreeFile(path, each.language, each.digest, each.stamp) for path, each in held.items()}

    def _count(self, tree: _Tree, found: Survey, done: Update) -> None:
        """Add what the index has of a tree, and what it has not."""
        for path, each in tree.database.files(tree.number).items():
            if each.skipped:
                found.skip(path, each.skipped)
        files, units = tree.database.counts(tree.number)
        done.files, done.units = done.files + files, done.units + units
        _add_skipped(done, found, tree.given if len(self._trees) > 1 else "")

    def _parse(self, root: Path, files: list[TreeFile], show_progress: bool) -> Iterator[ReadFile]:
        from tqdm import tqdm

        items = ((str(root), file) for file in files)
        workers = min(self._workers, -(-len(files) // _FILES_PER_MESSAGE))
        results = map_in_workers(read_units, in_batches(items, _FILES_PER_MESSAGE), workers, _BATCH_SECONDS, _lost)
        yield from tqdm(results, total=len(files), desc="index", unit="file", disable=not show_progress, delay=1.0)

    def _write(self, database: Database, block: list[ReadFile]) -> int:
        """Put a block into the database; returns how many texts were embedded for it."""
        texts = {unit.digest: unit.text for each in block for unit in each.units}
        missing = database.missing_texts(texts)
        texts = {digest: text for digest, text in texts.items() if digest in missing}
        rows = self._encoder.documents(list(texts.values())) if texts else ()
        database.write(block, dict(zip(texts, rows, strict=True)))
        return len(texts)


def clear_indexes(trees: Sequence[str | Path], folder: Path | None = None) -> list[Path]:
    """Delete the index of some trees, and of all that share it; returns where they were.

    Raises:
        ValueError: a tree is missing, or another process has held the index for too long.
    """
    folders = dict.fromkeys((folder or default_folder(root)).absolute() for _, root in _outermost(trees))
    cleared = []
    for where in folders:
        if Database.exists(where):
            with _lock(where, where):
                Database.remove(where)
            cleared.append(where)
    return cleared


def default_folder(tree: Path) -> Path:
    """Where the index of a tree is kept: in the user's cache, where the platform has it.

    All trees of a repository and its work trees share one; of other folders, those below one that has an index.

    Args:
        tree: the tree, absolute.
    """
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
        cache = cache if cache.is_absolute() else Path.home() / ".cache"
    base = cache / "open-codesage" / "search"
    if found := repository.find(tree):
        common = found.common_folder.resolve()
        return base / _called(common, common.parent.name if common.name == ".git" else common.name)
    folders = [base / _called(folder, folder.name) for folder in (tree, *tree.parents)]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _mask(filters: Filters | None, searched: Collection) -> npt.NDArray[np.bool_] | None:
    return filters.mask(searched) if filters is not None else None


def _require_positive(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}: ask for 1 or more results")


def _called(folder: Path, name: str) -> str:
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return f"{name or 'root'}-{digest}"


def _outermost(trees: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """Trees as they were given, and absolute; without those that are inside another."""
    roots: dict[Path, str] = {}
    for tree in trees:
        require_folder(Path(tree))
        roots.setdefault(Path(tree).resolve(), str(tree))
    return [(given, root) for root, given in roots.items() if not any(parent in roots for parent in root.parents)]


def _open_database(folder: Path, settings: dict[str, Setting], rebuild: bool) -> Database:
    """Open the database of a folder; one that is of no use any more is made anew, with a word about why."""
    make_folder(folder)
    if not rebuild:
        try:
            return Database.open(folder, settings)
        except (OtherSettings, Damaged) as error:
            note(f"{error}: it is made anew")
    with _lock(folder, folder):
        Database.remove(folder)
        return Database.open(folder, settings)


@contextlib.contextmanager
def _lock(folder: Path, tree: Path) -> Iterator[None]:
    """Be the only process that writes to an index; the system takes the lock from a process that ends."""
    lock = filelock.FileLock(folder / "lock")
    try:
        try:
            lock.acquire(timeout=1.0)
        except filelock.Timeout:
            note(f"another process indexes {tree}: waiting for it")
            lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout as error:
        raise ValueError(
            f"another process has held the index of {tree} for {_LOCK_SECONDS:.0f} s ({folder / 'lock'}): wait for it, "
            "end it, or give another --index"
        ) from error
    except OSError as error:
        raise ValueError(f"the index folder {folder} cannot be used: {error.strerror}; give another --index") from error
    try:
        yield
    finally:
        lock.release()


def _blocks(files: Iterable[ReadFile]) -> Iterator[list[ReadFile]]:
    """Whole files in lists of at least `_BLOCK` units, the last aside; their bounds depend on the files alone."""
    block: list[ReadFile] = []
    units = 0
    for each in files:
        block.append(each)
        units += len(each.units)
        if units >= _BLOCK or len(block) >= _BLOCK:
            yield block
            block, units = [], 0
    if block:
        yield block


def _lost(item: tuple[str, TreeFile], reason: Loss) -> ReadFile:
    return ReadFile(item[1], skipped=reason)


def _add_skipped(done: Update, found: Survey, prefix: str) -> None:
    for reason, paths in found.skipped.items():
        done.skipped.setdefault(reason, []).extend(f"{prefix}/{path}" if prefix else path for path in paths)
