"""A row of steps that remembers on disk what has finished, so that a run started again resumes where it was.

Contract: `Steps(root, names).run(name, config, action)` does the action once for a config and returns its result, from
the record if there is one. A step that ran under other settings, or whose output is gone, is done again, and so is
everything after it. The records lie apart from the outputs, which belong to other commands and are theirs to the byte;
whoever runs steps holds the root with `output.owned`.

Invariants: a record says "finished" only after the action has returned, so an interrupted step never looks finished.
Only what a record of this root says that a step has written is ever removed; paths are recorded relative to the root,
so that a root that is copied or moved takes its records along and leaves the original alone. A record may be a
stranger's: one that names a folder outside the root, the root itself or what the steps are remembered in, is refused
before anything is done.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from .console import say
from .output import run_folder, write_json
from .run import changed_settings
from .untrusted import brief, read_object

_BEGUN: dict[str, Any] = {"finished": bool, "output": str, "settings": dict}
_FINISHED: dict[str, Any] = _BEGUN | {"seconds": (int, float)}


class Steps:
    """Runs named steps once each and remembers which have finished, with the settings they ran under.

    A step writes the folder that its config calls `output`, whole or not at all; checkpoints and the like lie beside it
    in `<output>.run`, and stay there for a step that was interrupted. When the settings of a step differ from those on
    record, both folders go, and those of every later step as well, since they stand on it.

    Args:
        root: folder below which every step writes its output; the records lie in its sub-folder `steps`.
        names: the names of all steps, in order.

    Raises:
        ValueError: a record in the folder is damaged, or names a folder that no step has written.
    """

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.root = root.absolute()
        self.folder = self.root / "steps"
        self.names = names
        if self.folder.is_symlink():
            raise ValueError(f"{self.folder} is a link, which is never followed: remove it")
        for name in names:
            self._record(name)

    def run(self, name: str, config: Any, action: Callable[[Any], Any]) -> Any:
        """Do `action(config)` unless the step is on record as finished; returns its (JSON) result either way."""
        settings = self._portable(dataclasses.asdict(config))
        record = self._record(name)
        reason = None
        if record and (changes := changed_settings(record["settings"], settings)):
            reason = f"settings have changed ({'; '.join(changes)})"
        elif record and record["finished"] and not config.output.exists():
            reason = "its output is gone"
        if reason:
            say(f"[{name}] {reason}: this step and those after it are done again")
            self._forget_from(name)
            record = None
        if record and record["finished"]:
            say(f"[{name}] finished before, in {record['seconds']:.0f} s")
            return record["result"]
        if record:
            # The step was stopped just after writing its output. Without a record the output is somebody else's.
            shutil.rmtree(config.output, ignore_errors=True)
        begun = {"finished": False, "output": os.path.relpath(config.output, self.root), "settings": settings}
        self._write(name, begun)
        say(f"[{name}] started")
        start = time.perf_counter()
        result = self._portable(action(config))
        seconds = time.perf_counter() - start
        self._write(name, {**begun, "finished": True, "seconds": seconds, "result": result})
        say(f"[{name}] finished in {seconds:.0f} s")
        return result

    def _portable(self, value: Any) -> Any:
        """The value as JSON, with paths below the root relative to it."""
        if isinstance(value, dict):
            return {str(key): self._portable(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._portable(item) for item in value]
        if isinstance(value, Path | str) and Path(value).is_relative_to(self.root):
            return os.path.relpath(value, self.root)
        return value if value is None or isinstance(value, bool | int | float | str) else str(value)

    def _record(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        record = read_object(path)
        fields = _FINISHED if record.get("finished") else _BEGUN
        if any(not isinstance(record.get(field), kind) for field, kind in fields.items()) or (
            record["finished"] and "result" not in record
        ):
            raise ValueError(f"{path} is no record of a step: remove {self.folder}, or choose another output folder")
        if not self._is_of_a_step(record["output"]):
            raise ValueError(
                f"{path} names {brief(record['output'])}, which no step below {self.root} can have written: "
                f"nothing there is touched. Remove {self.folder}, or choose another output folder"
            )
        return record

    def _is_of_a_step(self, output: str) -> bool:
        """Whether a recorded folder lies where steps write: below the root, links resolved, beside the records."""
        inside = PurePath(output)
        if inside.is_absolute() or ".." in inside.parts or not inside.parts or "\0" in output:
            return False
        folder = self.root / inside
        root = self.root.resolve()
        return folder.parent.resolve().is_relative_to(root) and inside.parts[0] != self.folder.name

    def _write(self, name: str, record: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{name}.json", record)

    def _forget_from(self, name: str) -> None:
        for later in self.names[self.names.index(name) :]:
            if record := self._record(later):
                output = self.root / record["output"]
                for folder in (output, run_folder(output)):
                    shutil.rmtree(folder, ignore_errors=True)
                (self.folder / f"{later}.json").unlink()
