"""An encoder from scratch in a bounded time: both stages, what they give, and what Stage II gives without Stage I.

    python run.py WORK --packed corpus.tar --minutes stage1=5 stage2=2 alone=1 --deadline 570 --output OUT

Each phase is a command of the package in a process of its own, with a limit in seconds. One that fails or overruns is
reported, and the next goes on if what it needs is there; what is finished is kept: a phase that is done is not done
again. WORK is any folder, OUT receives what is to be carried home. `--phases` chooses some; `--settings` another folder
for the three files of settings that lie beside this script.

    unpack     the packed corpus becomes a corpus folder (train.corpus.travel)
    tokenizer  unless WORK/tokenizer is there already
    rows       the rows of Stage I, and one step
    smoke      20 steps of both stages: losses fall, and what was saved opens
    stage1     Stage I, for --minutes stage1=N
    stage2     Stage II after it, for --minutes stage2=N
    alone      Stage II on new weights, for --minutes alone=N
    evaluate   the models on the corpus's held-out pairs and on the sets of --tasks, one after another
    weights    the model of Stage II, or else of Stage I, in bfloat16 in parts (parts.py), and a plot of the losses
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMITS = {
    "unpack": 60, "tokenizer": 180, "rows": 180, "smoke": 180, "stage1": 90, "stage2": 90, "alone": 120,
    "evaluate": 120, "weights": 60,
}  # fmt: skip
"""Seconds of each phase; of those that train, besides the minutes of training."""
GRACE = 20.0
"""Seconds to save a checkpoint in, once a command is told to end."""
FINAL = 15.0
"""Seconds before the deadline in which nothing but logs is written."""
TRAININGS = {"stage1": "Stage I", "stage2": "Stage II", "alone": "Stage II alone"}
OPENS = """
import sys, numpy, open_codesage.modeling
from sentence_transformers import SentenceTransformer
vectors = SentenceTransformer(sys.argv[1]).encode(["open a file", "def close(file): file.close()"])
sys.exit(not (numpy.isfinite(vectors).all() and (vectors[0] != vectors[1]).any()))
"""
COMMAND = "import sys; from open_codesage.train.cli import main; sys.exit(main())"


class Failed(Exception):
    """A phase has not given what it should."""


@dataclass
class Run:
    """One run of this script.

    Attributes:
        work: Folder for everything.
        output: Folder for what is carried home.
        settings: Folder of tokenizer.yaml, stage1.yaml and stage2.yaml.
        packed: Packed corpus.
        tasks: Folders of evaluation sets.
        minutes: Of each training, how long it is.
        limits: Seconds of each phase.
        workers: Processes for the preparation of data.
        deadline: When everything has to be finished, on the clock of `time.monotonic`.
    """

    work: Path
    output: Path
    settings: Path
    packed: Path | None
    tasks: list[Path]
    minutes: dict[str, float]
    limits: dict[str, float]
    workers: int
    deadline: float
    ends: float = field(default=math.inf, init=False)
    log: Path = field(default=Path(), init=False)

    def left(self) -> float:
        """Seconds that the phase has left."""
        return min(self.ends, self.deadline) - time.monotonic()

    def call(self, command: Sequence[str | Path]) -> None:
        """Run a program until the phase's time is up.

        Raises:
            Failed: it failed or was ended; the message holds its last lines.
        """
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n")
            log.flush()
            process = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.work
            )
            try:
                status = process.wait(max(0.1, self.left()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)  # A training saves a checkpoint and leaves.
                raise Failed(f"its time was up (status {_wait(process, GRACE)})") from None
            finally:
                _end(process)
        if status:
            lines = self.log.read_text("utf-8", "replace").replace("\r", "\n").strip().split("\n")
            raise Failed(f"status {status}: " + " | ".join(lines[-3:])[-600:])

    def command(self, name: str, *options: str | Path) -> None:
        """Run a command of the package."""
        self.call([sys.executable, "-c", COMMAND, name, *options])

    def stage1(self, output: Path, *options: str) -> None:
        """Run `pretrain`; all of its runs share the rows."""
        self.command(
            "pretrain", "--config", self.settings / "stage1.yaml", "--corpus", self.work / "corpus",
            "--tokenizer", self.work / "tokenizer", "--shards", self.work / "rows", "--output", output, *options,
        )  # fmt: skip

    def stage2(self, model: Path, output: Path, *options: str) -> None:
        """Run `contrast`."""
        self.command(
            "contrast", "--config", self.settings / "stage2.yaml", "--corpus", self.work / "corpus",
            "--model", model, "--output", output, *options,
        )  # fmt: skip

    def budget(self, phase: str) -> str:
        """The minutes of a training, fewer if the deadline is near."""
        wanted = self.minutes.get(phase, 0.0)
        possible = (self.deadline - time.monotonic() - self.limits[phase] / 2) / 60
        if min(wanted, possible) <= 0:
            raise Failed("no time is left for it" if wanted else f"give --minutes {phase}=N")
        return f"{min(wanted, possible):.4f}"


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def unpack(run: Run) -> str:
    """Make the corpus folder."""
    if not (run.work / "corpus").exists():
        if run.packed is None:
            raise Failed("give --packed FILE")
        program = "import sys; from pathlib import Path; from open_codesage.train.corpus.travel import unpack\n"
        program += "if __name__ == '__main__': unpack(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
        script = run.work / "unpack.py"  # Worker processes import it.
        script.write_text(program, "utf-8")
        run.call([sys.executable, script, run.packed.resolve(), run.work / "corpus", str(run.workers)])
    report = json.loads((run.work / "corpus" / "report.json").read_text("utf-8"))
    return f"{report['packed']['rows']:,} functions, {report['files']:,} files"


def tokenizer(run: Run) -> str:
    """Learn the tokenizer."""
    if not (run.work / "tokenizer").exists():
        run.command(
            "tokenizer", "--config", run.settings / "tokenizer.yaml", "--corpus", run.work / "corpus",
            "--output", run.work / "tokenizer",
        )  # fmt: skip
    return ""


def rows(run: Run) -> str:
    """Prepare the rows of Stage I on all cores; one step of a model follows, which nobody needs."""
    reports = list(run.work.glob("rows/*/train/shards.json"))
    if not reports:
        output = run.work / "one-step"
        run.stage1(output, "--steps", "1", "--num-workers", str(run.workers), "--eval-rows", "1")
        shutil.rmtree(output.with_name("one-step.run"), ignore_errors=True)
        reports = list(run.work.glob("rows/*/train/shards.json"))
    report = json.loads(reports[0].read_text("utf-8"))
    unparsed = sum(report["unparsable"].values()) / report["files"]
    return f"{report['rows']:,} rows, {report['tokens']:,} tokens, {unparsed:.2%} of the files without identifiers"


def smoke(run: Run) -> str:
    """Train a little in both stages, and look at what comes of it."""
    folder = run.work / "smoke"
    shutil.rmtree(folder, ignore_errors=True)
    short = ("--steps", "20", "--save-steps", "10", "--logging-steps", "1", "--warmup-steps", "5")
    run.stage1(folder / "stage1", *short)
    run.stage2(folder / "stage1", folder / "stage2", *short)
    told = []
    for stage in ("stage1", "stage2"):
        first, last = _fall(folder / stage)
        told.append(f"{stage} {first:.3f} to {last:.3f}")
        if not last < first:
            raise Failed(f"the loss of {stage} does not fall: {first:.3f} to {last:.3f}")
        if not (folder / f"{stage}.run" / "checkpoint-20").is_dir():
            raise Failed(f"{stage} has left no checkpoint")
    run.call([sys.executable, "-c", OPENS, folder / "stage2"])
    return ", ".join(told)


def _fall(model: Path) -> tuple[float, float]:
    """The mean of the first and of the last losses of a training."""
    log = json.loads((model / "training.json").read_text("utf-8"))["log"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    few = max(1, len(losses) // 5)
    return sum(losses[:few]) / few, sum(losses[-few:]) / few


def stage1(run: Run) -> str:
    """Stage I."""
    if not (run.work / "stage1").exists():
        run.stage1(run.work / "stage1", "--max-minutes", run.budget("stage1"))
    return _told(run.work / "stage1")


def stage2(run: Run) -> str:
    """Stage II after Stage I."""
    if not (run.work / "stage1").exists():
        raise Failed("there is no Stage I to start from")
    if not (run.work / "stage2").exists():
        run.stage2(run.work / "stage1", run.work / "stage2", "--max-minutes", run.budget("stage2"))
    return _told(run.work / "stage2")


def alone(run: Run) -> str:
    """Stage II on new weights."""
    if not (run.work / "untrained").exists():
        run.stage1(run.work / "untrained", "--steps", "0")
    if not (run.work / "alone").exists():
        run.stage2(run.work / "untrained", run.work / "alone", "--max-minutes", run.budget("alone"))
    return _told(run.work / "alone")


def _told(model: Path) -> str:
    record = json.loads((model / "training.json").read_text("utf-8"))
    first, last = _fall(model)
    return (
        f"{record['steps']:,} steps, {record['tokens']:,} tokens in {record['seconds']:.0f} s of training "
        f"({record['tokens_per_second']:,.0f} a second, MFU {record['mfu']:.1%}), loss {first:.3f} to {last:.3f}"
    )


def evaluate(run: Run) -> str:
    """Measure the models, the best first: what is measured is kept if time is up."""
    models = [name for name in ("stage2", "alone", "stage1") if (run.work / name).exists()]
    if not models:
        raise Failed("there is no model to measure")
    for name in models:
        output = run.work / "evaluation" / name
        if not output.exists():
            sets = (run.work / "corpus", *run.tasks)
            run.command("evaluate", run.work / name, "--tasks", *sets, "--output", output, "--batch-size", "256")
    return ", ".join(models)


def weights(run: Run) -> str:
    """Write the weights that are carried home, and the losses as a picture."""
    model = next((name for name in ("stage2", "alone", "stage1") if (run.work / name).exists()), None)
    if model is None:
        raise Failed("there is no model to write")
    run.call([sys.executable, HERE / "parts.py", "cut", run.work / model, run.output])
    _plot(run)
    size = sum(path.stat().st_size for path in run.output.glob(f"{model}.tar.*"))
    return f"{model}, {size / 1e6:.1f} MB"


def _plot(run: Run) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    models = [name for name in TRAININGS if (run.work / name / "training.json").exists()]
    figure, axes = pyplot.subplots(1, len(models), figsize=(5 * len(models), 3.5), squeeze=False)
    for axis, name in zip(axes[0], models, strict=True):
        log = json.loads((run.work / name / "training.json").read_text("utf-8"))["log"]
        points = [(entry["step"], entry["loss"]) for entry in log if "loss" in entry]
        axis.plot(*zip(*points, strict=True))
        axis.set(title=TRAININGS[name], xlabel="step", ylabel="loss")
    figure.tight_layout()
    figure.savefig(run.output / "losses.png", dpi=100)


PHASES: dict[str, Callable[[Run], str]] = {
    "unpack": unpack, "tokenizer": tokenizer, "rows": rows, "smoke": smoke, "stage1": stage1, "stage2": stage2,
    "alone": alone, "evaluate": evaluate, "weights": weights,
}  # fmt: skip


def carry_out(run: Run, phases: Sequence[str]) -> dict[str, str]:
    """Do one phase after another; what became of each."""
    outcome: dict[str, str] = {}
    (run.work / "logs").mkdir(parents=True, exist_ok=True)
    for phase in phases:
        begin = time.monotonic()
        run.log = run.work / "logs" / f"{phase}.log"
        run.ends = begin + run.limits[phase] + 60 * run.minutes.get(phase, 0.0)
        try:
            if run.left() < 1:
                raise Failed("no time is left for it")
            outcome[phase] = f"done: {PHASES[phase](run)}".rstrip(": ")
        except (Failed, OSError, ValueError, KeyError, ImportError) as error:
            outcome[phase] = f"FAILED: {type(error).__name__}: {error}"
        sys.stdout.write(f"[{phase}] {time.monotonic() - begin:.1f} s, {outcome[phase]}\n")
        sys.stdout.flush()
        _keep_records(run, outcome)
    return outcome


def _keep_records(run: Run, outcome: dict[str, str]) -> None:
    """Write logs, settings and results to the output in one archive: small files are many."""
    (run.work / "outcome.json").write_text(json.dumps(outcome, indent=1), "utf-8")
    records = run.work / "records"
    shutil.rmtree(records, ignore_errors=True)
    shutil.copytree(run.settings, records / "settings", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    shutil.copytree(run.work / "logs", records / "logs")
    shutil.copy(run.work / "outcome.json", records)
    for path in (*run.work.glob("*/training.json"), *run.work.glob("evaluation/*/*"), *run.work.glob("rows/*/*.json")):
        if path.is_file():
            target = records / path.relative_to(run.work)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.make_archive(str(run.output / "records"), "gztar", records)


def _assignments(values: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    pairs = [value.partition("=") for value in values]
    for name, _, _ in pairs:
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return {name: float(number) for name, _, number in pairs}


def main() -> int:
    """Read the command line and do the phases; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--packed", type=Path, help="file of travel.pack")
    parser.add_argument("--tokenizer", type=Path, help="folder of a tokenizer to copy to WORK, instead of learning one")
    parser.add_argument("--tasks", type=Path, nargs="*", default=[], help="evaluation sets")
    parser.add_argument("--output", type=Path, help="folder for what is carried home; WORK/output if not given")
    parser.add_argument("--settings", type=Path, default=HERE, help="folder of the settings")
    parser.add_argument("--phases", default=",".join(PHASES), help="phases to do, in their order")
    parser.add_argument("--minutes", nargs="*", default=[], metavar="PHASE=N", help="minutes of the trainings")
    parser.add_argument("--limit", nargs="*", default=[], metavar="PHASE=N", help="seconds of phases")
    parser.add_argument("--deadline", type=float, default=3600, help="seconds of everything")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    arguments = parser.parse_args()
    phases = arguments.phases.split(",")
    try:
        if unknown := set(phases) - set(PHASES):
            raise ValueError(f"there is no phase {', '.join(sorted(unknown))}: choose among {', '.join(PHASES)}")
        minutes = _assignments(arguments.minutes, list(TRAININGS))
        limits = LIMITS | _assignments(arguments.limit, list(PHASES))
    except ValueError as error:
        parser.error(str(error))
    work = arguments.work.resolve()
    output = (arguments.output or work / "output").resolve()
    output.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    if arguments.tokenizer and not (work / "tokenizer").exists():
        shutil.copytree(arguments.tokenizer, work / "tokenizer")
    run = Run(
        work, output, arguments.settings.resolve(), arguments.packed, [task.resolve() for task in arguments.tasks],
        minutes, limits, arguments.workers, time.monotonic() + arguments.deadline - FINAL,
    )  # fmt: skip
    outcome = carry_out(run, [phase for phase in PHASES if phase in phases])
    return int(any(told.startswith("FAILED") for told in outcome.values()))


if __name__ == "__main__":
    sys.exit(main())
