"""One output folder: whether it is finished, what of it may be resumed, and who is writing it.

Contract: `Run(output, settings, record)` is what a command knows of its output. `finished()` finds an earlier result or
refuses a foreign one; inside `begin()` the output belongs to this process, and its working files lie in `folder`,
`<output>.run`; `write(content)` makes the output, with the record of its settings, at once.

Invariants: of two processes that want one output, the second is refused at once and told by whom. A process that is
killed holds nothing. A finished output names the settings it was made with, so the same command finds its work done
and another one is refused. (An output that is named by its settings, such as a step of an ablation or an array of the
embedding cache, needs no record: it is finished when it exists, and `owned(output, wait=True)` guards the making.)
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .output import new_folder, owned, read_json, run_folder, write_json

SETTINGS = "settings.json"


class Run:
    """An output folder in the making.

    Args:
        output: the folder to write.
        settings: everything that the result depends on, of JSON types.
        record: the file of the finished folder that holds the settings, under `settings`.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], record: str) -> None:
        self.output, self.settings, self.record = output, settings, record
        self.folder = run_folder(output)

    def finished(self) -> bool:
        """Find out whether a run with these settings has written the output.

        Raises:
            ValueError: there is something else at the output, or a result of other settings.
        """
        if not self.output.exists() or (self.output.is_dir() and not any(self.output.iterdir())):
            return False
        if not (self.output / self.record).is_file():
            raise ValueError(f"{self.output} exists and was not made by this command: choose another output")
        require_same_settings(self.output, read_json(self.output / self.record).get("settings", {}), self.settings)
        return True

    @contextmanager
    def begin(self, first: bool = True, wait: bool = False) -> Iterator[Path]:
        """Hold the output, and give the folder for working files, which need not exist yet.

        Args:
            first: whether this process speaks for all of a distributed run; the others hold nothing.
            wait: wait for another process that holds it; it may have finished the output by then.

        Raises:
            ValueError: another process is writing the output.
        """
        if not first:
            yield self.folder
            return
        with owned(self.output, wait):
            yield self.folder

    @contextmanager
    def write(self, content: Mapping[str, Any]) -> Iterator[Path]:
        """Give a folder that becomes the output, with the settings and what `content` holds in the end as its record.

        Raises:
            ValueError: the output exists, cannot be made, or another process is writing it.
        """
        with new_folder(self.output) as folder:
            yield folder
            write_json(folder / self.record, {**content, "settings": self.settings})


def reset_unless_same(folder: Path, settings: Mapping[str, Any]) -> Path:
    """Make a folder for the finished parts of interrupted work; parts made under other settings are removed."""
    record = folder / SETTINGS
    state = json.dumps(settings, indent=1)
    if not record.is_file() or record.read_text(encoding="utf-8") != state:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record.write_text(state, encoding="utf-8")
    return folder


def require_same_settings(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Compare the settings that a folder was made with to those that are wanted now.

    Raises:
        ValueError: they differ; the message names every key with its old and new value.
    """
    if changes := changed_settings(old, new):
        raise ValueError(
            f"{folder} was made with other settings ({'; '.join(changes)}): "
            "go back to the old settings, delete that folder, or choose another output"
        )


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say of every setting that is another one now what it was and is, in words."""
    before, now = _flat(old), _flat(json.loads(json.dumps(new)))
    return [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give inner mappings dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
