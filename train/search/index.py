"""A searchable index of all functions of a tree.

Contract: `Index.open(tree, model)` opens or makes the index, `update()` makes it agree with the tree, and
`search(query, k)` ranks the functions. A file is parsed again when its content has changed, a function is embedded
again when its text has; files that are gone leave the index. Scores are `fusion.fuse` of cosine and BM25, ties are
broken by path and line: the ranking depends on the tree and the model only, not on how the index came about.

Invariants: an update that is killed loses at most the block it was at, and the next goes on behind it. One process at a
time updates an index; others wait. Everything that is left out of the index is reported with its reason.
"""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import numpy as np

from ..common.console import note
from ..common.identity import identify
from ..common.workers import Loss, cores, in_batches, map_in_workers
from .chunks import FileFunctions, chunker, read_functions
from .database import Setting, Store, make_folder
from .files import TreeFile, require_folder, survey
from .fusion import fuse
from .released import released_model

if TYPE_CHECKING:
    from ..retrieval.encoder import Encoder

_FORMAT = 1
_FILES_PER_MESSAGE = 16
_BATCH_SECONDS = 120.0
"""Far above what the limits of the parser allow for as many files."""
_BLOCK = 256
"""Functions per transaction, at least; the rest of the last one's file comes with it."""
_BATCH_SIZE = 32
_LOCK_SECONDS = 600.0
_RESOLUTION = 1e-6
"""Scores that differ by less are equal."""


@dataclass(frozen=True)
class Hit:
    """A function that was found.

    Attributes:
        path: path of its file below the tree, with slashes.
        line: its first line, from 1.
        end_line: its last line, inclusive.
        name: its name.
        language: its language.
        signature: on one line.
        score: by which it was ranked; comparable within one search only.
        cosine: of its embedding and the query's.
    """

    path: str
    line: int
    end_line: int
    name: str
    language: str
    signature: str
    score: float
    cosine: float


@dataclass
class Update:
    """What an update has done.

    Attributes:
        files: files in the index.
        functions: functions in the index.
        parsed: files that were new or had changed.
        embedded: texts of functions that were embedded.
        removed: files that left the index.
        skipped: paths that are not in the index, by reason.
        seconds: how long it took.
    """

    files: int = 0
    functions: int = 0
    parsed: int = 0
    embedded: int = 0
    removed: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


class Index:
    """An open index; use `Index.open`, and close it or use it in a `with` block."""

    def __init__(
        self, tree: Path, model: str, encoder: "Encoder", store: Store, settings: dict[str, Setting], workers: int
    ) -> None:
        self.tree, self.model = tree, model
        self._encoder, self._store, self._settings, self._workers = encoder, store, settings, workers
        self._loaded: tuple[int, np.ndarray, np.ndarray] | None = None

    @classmethod
    def open(
        cls,
        tree: str | Path,
        model: str | None = None,
        *,
        folder: Path | None = None,
        dimension: int | None = None,
        rebuild: bool = False,
        workers: int | None = None,
    ) -> "Index":
        """Open the index of a tree, or make an empty one.

        Args:
            tree: a folder of source code.
            model: folder or Hub id of the encoder; the released one if None.
            folder: where the index is kept; a folder in the user's cache if None.
            dimension: keep that many dimensions of the embeddings, of models that were trained for it; all if None.
            rebuild: begin anew.
            workers: processes that parse; one per core if None.

        Raises:
            ValueError: the tree or the model can not be opened; the index was made with another model, dimension or
                version of what cuts files into functions; another process has held it for too long.
        """
        require_folder(Path(tree))
        root = Path(tree).resolve()
        model = model or released_model()
        where = (folder or default_folder(root)).absolute()
        settings: dict[str, Setting] = {
            "format": _FORMAT,
            "model": identify(model).hash,
            "dimension": dimension,
            "chunker": chunker(),
        }
        make_folder(where)
        with _lock(where, root) if rebuild else contextlib.nullcontext():
            store = Store.open(where, settings, rebuild)
        try:
            from ..retrieval.encoder import Encoder

            encoder = Encoder(model, _BATCH_SIZE, show_progress=False)
            width = encoder.model.get_embedding_dimension()
            if dimension is not None and width is not None and not 0 < dimension <= width:
                raise ValueError(f"dimension is {dimension}, but {model} gives embeddings of {width}")
        except BaseException:
            store.close()
            raise
        return cls(root, model, encoder, store, settings, workers or cores())

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self._store.close()

    def update(self, show_progress: bool = False) -> Update:
        """Make the index agree with the tree.

        Args:
            show_progress: show a bar on standard error.

        Raises:
            ValueError: another process updates the index for too long, or the index can not be written.
            RuntimeError: worker processes can not start.
        """
        begin = time.perf_counter()
        done = Update()
        with _lock(self._store.file.parent, self.tree):
            self._store.require(self._settings)  # empty, it may have been opened with another model since
            found = survey(self.tree)
            known = self._store.digests()
            gone = known.keys() - {file.path for file in found.files}
            if gone:
                self._store.forget(gone)
            changed = [file for file in found.files if known.get(file.path) != (file.language, file.digest)]
            for block in _blocks(self._parse(changed, show_progress)):
                done.embedded += self._write(block)
            self._store.forget_unused_texts()
        for path, reason in self._store.skipped():
            found.skip(path, reason)
        self._loaded = None
        done.files, done.functions = self._store.counts()
        done.parsed, done.removed, done.skipped = len(changed), len(gone), found.skipped
        done.seconds = time.perf_counter() - begin
        return done

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Rank the functions that the last update has put in.

        Args:
            query: what to look for, in words or in code.
            k: how many functions to give.

        Raises:
            ValueError: the query is empty, or there is no function in the index.
        """
        from ..retrieval.bm25 import QUERY_WORDS, split_words

        if not query.strip():
            raise ValueError("the query is empty: say in words what to look for")
        ids, embeddings = self._load()
        if not len(ids):
            raise ValueError(f"there is no function in the index of {self.tree}")
        cosines = (embeddings @ self._normalised([query], is_query=True)[0]).astype(np.float64)
        words = np.zeros(len(ids))
        order = np.argsort(ids)
        for number, score in self._store.word_scores(split_words(query)[:QUERY_WORDS]):
            place = int(np.searchsorted(ids, number, sorter=order))
            if place < len(ids) and ids[order[place]] == number:  # else another process has just put it in
                words[order[place]] = score
        scores = fuse(cosines, words)
        best = np.argsort(-np.round(scores / _RESOLUTION), kind="stable")[:k]
        rows = self._store.functions(ids[best].tolist())
        return [
            Hit(path, start, end, name, language, signature, float(scores[number]), float(cosines[number]))
            for number, (path, language, name, signature, start, end) in (
                (number, row) for number, row in zip(best, rows, strict=True) if row is not None
            )
        ]

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        version = self._store.version()
        if self._loaded is None or self._loaded[0] != version:
            self._store.require(self._settings)
            self._loaded = (version, *self._store.embeddings())
        return self._loaded[1:]

    def _parse(self, files: list[TreeFile], show_progress: bool) -> Iterator[FileFunctions]:
        from tqdm import tqdm

        items = ((str(self.tree), file) for file in files)
        results = map_in_workers(
            read_functions, in_batches(items, _FILES_PER_MESSAGE), self._workers, _BATCH_SECONDS, _lost
        )
        yield from tqdm(results, total=len(files), desc="index", unit="file", disable=not show_progress, delay=1.0)

    def _write(self, block: list[FileFunctions]) -> int:
        """Put a block into the index; returns how many texts were embedded for it."""
        from ..retrieval.bm25 import split_words

        functions = [function for each in block for function in each.functions]
        texts = {function.digest: function.code for function in functions}
        missing = self._store.missing(texts)
        texts = {digest: code for digest, code in texts.items() if digest in missing}
        rows = self._normalised(list(texts.values()), is_query=False) if texts else ()
        words = {function: " ".join(split_words(f"{function.documentation} {function.code}")) for function in functions}
        self._store.write(block, dict(zip(texts, rows, strict=True)), words)
        return len(texts)

    def _normalised(self, texts: list[str], is_query: bool) -> np.ndarray:
        """Embed texts: float32 [number of texts, D], of length 1."""
        import torch.nn.functional as F

        embeddings = self._encoder.queries(texts) if is_query else self._encoder.documents(texts)
        if not embeddings.isfinite().all():
            raise ValueError("some embeddings are not finite: the model is broken, choose another")
        return F.normalize(embeddings[:, : self._settings["dimension"]], dim=-1).numpy()


def default_folder(tree: Path) -> Path:
    """Where the index of a tree is kept: in the user's cache, where the platform has it.

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
    digest = hashlib.blake2b(os.fsencode(tree), digest_size=8).hexdigest()
    return cache / "open-codesage" / "search" / f"{tree.name or 'root'}-{digest}"


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
        raise ValueError(
            f"the index folder {folder} can not be used: {error.strerror}; give another --index"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _blocks(files: Iterable[FileFunctions]) -> Iterator[list[FileFunctions]]:
    """Whole files in lists of at least `_BLOCK` functions, the last aside; their bounds depend on the files alone."""
    block: list[FileFunctions] = []
    functions = 0
    for each in files:
        block.append(each)
        functions += len(each.functions)
        if functions >= _BLOCK or len(block) >= _BLOCK:
            yield block
            block, functions = [], 0
    if block:
        yield block


def _lost(item: tuple[str, TreeFile], reason: Loss) -> FileFunctions:
    return FileFunctions(item[1], skipped=reason)
