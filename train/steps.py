"""A row of steps that remembers on disk what has finished, so that a run started again goes on where it was.

Contract: `Steps(folder, names).run(name, config, action)` does the action once for a config and returns its result,
from the record if there is one. A step that ran under other settings is done again, and so is everything after it.

Invariant: a record says "finished" only after the action has returned, so an interrupted step never looks finished.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .console import say


class Steps:
    """Runs named steps once each and remembers which have finished, with the settings they ran under.

    A step writes the folder that its config calls `output`, whole or not at all; checkpoints and the like lie beside it
    in `<output>.run`, and stay there for a step that was interrupted. When the settings of a step differ from those on
    record, both folders go, and those of every later step as well, since they stand on it.

    Args:
        folder: folder of the records.
        names: the names of all steps, in order.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names

    def run(self, name: str, config: Any, action: Callable[[Any], Any]) -> Any:
        """Do `action(config)` unless the step is on record as finished; returns its (JSON) result either way."""
        settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
        record = self._record(name)
        if record and record["settings"] != settings:
            say(f"[{name}] settings have changed: this step and those after it are done again")
            self._forget_from(name)
            record = None
        if record and record["finished"]:
            say(f"[{name}] finished before, in {record['seconds']:.0f} s")
            return record["result"]
        # An output without a finished record is one whose step was stopped just after writing it.
        shutil.rmtree(config.output, ignore_errors=True)
        self._write(name, {"finished": False, "output": str(config.output), "settings": settings})
        say(f"[{name}] started")
        start = time.perf_counter()
        result = json.loads(json.dumps(action(config), default=str))
        seconds = time.perf_counter() - start
        self._write(
            name,
            {
                "finished": True,
                "output": str(config.output),
                "seconds": seconds,
                "result": result,
                "settings": settings,
            },
        )
        say(f"[{name}] finished in {seconds:.0f} s")
        return result

    def _record(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def _write(self, name: str, record: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f"{name}.json.partial"
        aside.write_text(json.dumps(record, indent=2), encoding="utf-8")
        aside.replace(self.folder / f"{name}.json")

    def _forget_from(self, name: str) -> None:
        for later in self.names[self.names.index(name) :]:
            if record := self._record(later):
                for folder in (record["output"], f"{record['output']}.run"):
                    shutil.rmtree(folder, ignore_errors=True)
                (self.folder / f"{later}.json").unlink()
