"""The recipe from scratch, rehearsed: the same script with a model that a core trains in seconds."""

import json
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
from open_codesage.train.corpus import extract, travel

RECIPE = Path(__file__).parents[1] / "train" / "recipes" / "scratch"
MODULES = ("asyncio", "email", "http", "logging")
SETTINGS = {
    "tokenizer": "vocab_size: 600\nmax_length: 64\n",
    "stage1": """
preset: nano
model: {hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64,
        max_position_embeddings: 64, token_initializer_range: 0.2}
max_length: 64
batch_size: 4
device_batch_size: 4
learning_rate: 1.0e-2
eval_rows: 2
""",
    "stage2": """
batch_size: 8
mini_batch_size: null
text_max_length: 16
code_max_length: 32
gamma: none
learning_rate: 1.0e-2
eval_pairs: 16
""",
}
PHASES = ("unpack", "tokenizer", "smoke", "stage1", "stage2", "alone", "evaluate", "weights")
"""All but `rows`: the smoke test prepares them here."""
LINE = re.compile(r"^\[(\w+)\] ([\d.]+) s, (done|FAILED)", re.MULTILINE)


def start(folder, *arguments):
    command = [sys.executable, RECIPE / "run.py", folder / "work", "--settings", folder / "settings", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """A whole run on a corpus of some modules: its folder and what it said."""
    folder = tmp_path_factory.mktemp("scratch")
    library = Path(sysconfig.get_path("stdlib"))
    sources = tuple(str(library / module) for module in MODULES)
    extract.main(extract.ExtractConfig(output=folder / "corpus", source=sources, languages=("python",),
                                       min_held_out=20, num_proc=1))  # fmt: skip
    travel.pack(folder / "corpus", folder / "corpus.tar", workers=1)
    (folder / "settings").mkdir()
    for name, content in SETTINGS.items():
        (folder / "settings" / f"{name}.yaml").write_text(content, "utf-8")
    minutes = ("stage1=0.03", "stage2=0.03", "alone=0.03")
    ran = start(
        folder, "--packed", folder / "corpus.tar", "--workers", "1", "--phases", ",".join(PHASES), "--minutes", *minutes
    )
    return folder, ran


def test_every_phase_is_done_and_tells_its_seconds(rehearsal):
    _, ran = rehearsal
    assert [(phase, state) for phase, _, state in LINE.findall(ran.stdout)] == [(p, "done") for p in PHASES], ran.stdout
    assert ran.returncode == 0


def test_what_is_carried_home_is_small_and_whole(rehearsal, tmp_path):
    folder, _ = rehearsal
    output = folder / "work" / "output"
    assert {path.name for path in output.iterdir()} == {"losses.png", "records.tar.gz", "stage2.json", "stage2.tar.00"}
    joined = subprocess.run([sys.executable, RECIPE / "parts.py", "join", output, tmp_path / "model"], check=False)
    assert joined.returncode == 0
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "model" / "model.safetensors")
    original = load_file(folder / "work" / "stage2" / "model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.bfloat16"}
    for name, tensor in original.items():
        assert weights[name].float().allclose(tensor, rtol=2**-8)
    with tarfile.open(output / "records.tar.gz") as records:
        names = set(records.getnames())
    assert {f"./{name}/training.json" for name in ("stage1", "stage2", "alone")} <= names
    assert "./evaluation/stage2/results.json" in names


def test_what_is_done_is_not_done_again_and_a_failed_phase_stops_no_other(rehearsal):
    folder, _ = rehearsal
    before = (folder / "work" / "stage2" / "model.safetensors").stat().st_mtime_ns
    (folder / "work" / "outcome.json").unlink()
    ran = start(folder, "--phases", "stage2,evaluate,weights", "--limit", "weights=0", "--minutes", "stage2=1")
    assert [state for _, _, state in LINE.findall(ran.stdout)] == ["done", "done", "FAILED"], ran.stdout
    assert ran.returncode == 1
    assert (folder / "work" / "stage2" / "model.safetensors").stat().st_mtime_ns == before
    assert json.loads((folder / "work" / "outcome.json").read_text())["weights"].startswith("FAILED")


def test_a_command_that_overruns_is_ended_and_what_it_needs_is_told(tmp_path):
    (tmp_path / "settings").mkdir()
    for name in SETTINGS:
        (tmp_path / "settings" / f"{name}.yaml").write_text("", "utf-8")
    ran = start(tmp_path, "--phases", "tokenizer,stage2", "--limit", "tokenizer=1.2")
    assert "[tokenizer]" in ran.stdout
    assert "its time was up" in ran.stdout
    assert "there is no Stage I to start from" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phases", "rows,stage3"], "there is no phase stage3"),
        (["--minutes", "smoke=1"], "'smoke' is none of stage1, stage2, alone"),
    ],
)
def test_wrong_options_are_refused(tmp_path, arguments, message):
    (tmp_path / "settings").mkdir()
    ran = start(tmp_path, *arguments)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert not (tmp_path / "work").exists()


def test_damaged_parts_are_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.md").write_text("x" * 5000)
    sys.path.insert(0, str(RECIPE))
    try:
        import parts
    finally:
        sys.path.remove(str(RECIPE))
    written = parts.cut(tmp_path / "model", tmp_path / "parts", most_bytes=4000)
    assert len(written) > 3
    parts.join(tmp_path / "parts", tmp_path / "joined")
    assert (tmp_path / "joined" / "notes.md").read_text() == "x" * 5000
    written[2].write_bytes(b"?")
    with pytest.raises(ValueError, match="missing or damaged: copy it again"):
        parts.join(tmp_path / "parts", tmp_path / "again")
    assert not (tmp_path / "again").exists()
