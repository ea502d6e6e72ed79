"""The whole way at its smallest: a few modules of the standard library, two steps a stage, one interruption."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from open_codesage.train import cli, quickstart
from open_codesage.train.common.config import merge
from open_codesage.train.stages import contrast

MODULES = ("argparse.py", "asyncio", "email", "http", "logging", "tarfile.py", "urllib", "zipfile.py")
EXPORT = "open-codesage-quickstart"
ROW = {"task": "corpus", "protocol": "full", "part": "all", "metric": "mrr"}
HOLD = """
import sys
from pathlib import Path
from open_codesage.train.common.output import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run the quickstart with an interruption before Stage II, then again: the status and the output of each run."""
    folder = tmp_path_factory.mktemp("quickstart")
    library = Path(sysconfig.get_path("stdlib"))
    for module in MODULES:
        copy = folder / "source" / module
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if (library / module).is_dir() else shutil.copy)(library / module, copy)
    arguments = ["quickstart", "--source", str(folder / "source"), "--output", str(folder / "out")]
    arguments += ["--extract", "min_held_out=20", "num_proc=1", "--tokenizer", "vocab_size=600"]
    arguments += ["--pretrain", "steps=2", "batch_size=2", "device_batch_size=2", "eval_rows=2", "model.hidden_size=96"]
    arguments += ["--contrast", "steps=2", "batch_size=16", "mini_batch_size=8"]
    arguments += ["--tune", "steps=2", "batch_size=16"]
    said, statuses = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "open_codesage.train.common.console.tqdm.write", staticmethod(lambda line, **_: said.append(line))
        )
        with pytest.MonkeyPatch.context() as once:
            once.setattr(contrast, "main", _interrupt)
            statuses.append(cli.main(arguments))
        said.append("second run")
        statuses.append(cli.main(arguments))
    first, second = "\n".join(said).split("second run")
    return statuses, first, second, folder / "out"


def _interrupt(config):
    raise KeyboardInterrupt


def test_an_interrupted_quickstart_goes_on_after_the_last_finished_step(runs):
    statuses, first, second, _ = runs
    assert statuses == [130, 0]
    assert "[pretrain] finished in" in first
    assert "[contrast] finished" not in first
    assert "[pretrain] finished before" in second
    assert "[contrast] finished in" in second


def test_the_table_holds_the_measured_figures(runs):
    _, _, second, out = runs
    for model, title in quickstart.TITLES.items():
        metrics = measured(out, model)
        assert f"| {title} | {metrics['mrr']:.1f} | {metrics['recall@10']:.1f} |" in second
    assert f"The model: {out / 'open-codesage-quickstart'}" in second
    assert "has not seen" not in second, "the source is the user's own"


def test_the_better_model_is_exported(runs):
    _, _, second, out = runs
    best = max(quickstart.CANDIDATES, key=lambda name: measured(out, name)["mrr"])
    assert f"Exported is the better model of two, by these figures: {quickstart.TITLES[best]}." in second
    sizes = [json.loads((out / name / "config.json").read_text())["hidden_size"] for name in (best, EXPORT)]
    assert sizes[0] == sizes[1]
    worse = {name: {"models": {name: {}}, "rows": [ROW | {"model": name, "value": 1.0}]} for name in quickstart.TITLES}
    for best in quickstart.CANDIDATES:
        results = worse | {best: {"models": {best: {}}, "rows": [ROW | {"model": best, "value": 2.0}]}}
        assert quickstart._best(results, "corpus") == best


def measured(out, model):
    results = json.loads((out / "evaluation" / model / "results.json").read_text())
    return {row["metric"]: row["value"] for row in results["rows"]}


def test_a_second_quickstart_in_the_same_folder_is_refused(runs, monkeypatch, capsys):
    *_, out = runs
    monkeypatch.setattr(quickstart, "Steps", lambda *_: pytest.fail("two processes write one output"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert cli.main(["quickstart", "--output", str(out)]) == 1
        assert f"is being written by process {other.pid}" in capsys.readouterr().err


def test_the_export_is_opened_by_both_classes_and_answers_every_query(runs):
    _, _, second, _ = runs
    assert "AutoModel opens the folder in a fresh interpreter" in second
    assert "SentenceTransformer opens the folder in a fresh interpreter" in second
    answers = re.findall(r"^  -?\d\.\d{3}  source/[\w/]+\.py:\d+  \S+", second, flags=re.MULTILINE)
    assert len(answers) == quickstart.FUNCTIONS_SHOWN * len(quickstart.QuickstartConfig().queries)


def test_nothing_held_out_is_in_the_training_files(runs):
    from open_codesage.train.corpus.corpus import Corpus

    corpus = Corpus(runs[-1] / "corpus")
    train, held_out = (set(corpus.files(split)["unit"]) for split in ("train", "held_out"))
    assert len(held_out) > 0
    assert not train & held_out


def test_an_unknown_setting_of_a_step_is_one_line_and_starts_nothing(tmp_path, capsys):
    assert cli.main(["quickstart", "--output", str(tmp_path / "out"), "--contrast", "stepz=3"]) == 2
    assert "quickstart: contrast: unknown key 'stepz'; did you mean 'steps'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pretrain", "seed=3"], "pretrain: seed is set by the quickstart's own options"),
        (["--name", "../model"], "give a plain name"),
        (["--name", "stage1"], "give a plain name"),
        (["--contrast", "temperature=-1"], "contrast: temperature must be positive, not -1"),
        (["--tune", "temperature=-1"], "tune: temperature must be positive, not -1"),
        (["--pretrain", "mask_rate=2"], "pretrain: mask_rate must be at least 0 and at most 1, not 2"),
        (["--evaluate", "depth=1"], "evaluate: cutoff is 10, beyond the depth of 1"),
        (["--export", "int8=true"], "export: int8 is the small form of the ONNX file"),
    ],
)
def test_settings_that_would_be_lost_or_reach_elsewhere_are_refused(tmp_path, capsys, arguments, message):
    assert cli.main(["quickstart", "--output", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_changed_entries_of_a_mapping_leave_the_others_of_the_recipe():
    recipe = {"steps": 3, "trainer": {"learning_rate_mapping": {"wte": 0.03}}}
    merged = merge(recipe, {"trainer": {"disable_tqdm": True}, "steps": 4})
    assert merged == {"steps": 4, "trainer": {"learning_rate_mapping": {"wte": 0.03}, "disable_tqdm": True}}
