"""The documentation: examples run as they are printed, every command has a page, every reference exists."""

import importlib
import re
import runpy
import shlex
import shutil
import sysconfig
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from open_codesage.train import cli
from safetensors.torch import load_file

DOCS = Path(__file__).parent.parent / "docs"
NAVIGATION = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
PAGES = [
    page[name] for entry in NAVIGATION for page in entry.get("Commands", []) if isinstance(page, dict) for name in page
]


def examples(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_has_a_page_with_an_example():
    assert {Path(page).stem for page in PAGES} == set(cli.COMMANDS)
    for page in PAGES:
        assert any(line.startswith(f"open-codesage {Path(page).stem} ") for line in examples(page)), page


def test_the_examples_run_in_their_order_as_they_are_printed(tmp_path, monkeypatch, capsys):
    library = Path(sysconfig.get_path("stdlib"))
    for module in ("argparse.py", "asyncio", "email", "http", "logging", "tarfile.py", "urllib", "zipfile.py"):
        copy = tmp_path / "src" / module
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if (library / module).is_dir() else shutil.copy)(library / module, copy)
    checkpoint = runpy.run_path(str(Path(__file__).parent / "scripts" / "published_checkpoint.py"))
    checkpoint["published"](tmp_path / "codesage-small-v2")
    encoders = runpy.run_path(str(Path(__file__).parent / "scripts" / "tiny_encoders.py"))
    encoders["write_pickled"]("bert", tmp_path / "old-encoder", ["def add(a, b): return a + b"])
    monkeypatch.chdir(tmp_path)
    # These have tests of their own: one takes long, one downloads, one waits for what it is asked on standard input.
    pages = [page for page in PAGES if page not in (f"commands/{name}.md" for name in ("quickstart", "corpus", "mcp"))]
    for line in (line for page in pages for line in examples(page)):
        program, *arguments = shlex.split(line)
        assert program == "open-codesage", line
        # The tests are offline: publishing ends, after its checks, where it would ask the Hub.
        assert cli.main(arguments) == (arguments[0] == "publish"), line
    assert re.search("hf auth login|HF_HUB_OFFLINE is set", capsys.readouterr().err)
    assert (tmp_path / "my-encoder" / "README.md").is_file()


@pytest.mark.parametrize("page", sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")))
def test_references_into_the_code_exist(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for reference in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE):
        module, _, name = reference.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except AttributeError:
            found = importlib.import_module(reference)
        assert found.__doc__, reference
    for file in re.findall(r"`((?:modeling|tokenization|train)/[\w./]+)`", text):
        assert (DOCS.parent / file).exists(), file


def test_the_script_for_any_encoder_runs_as_it_is_printed(tmp_path, monkeypatch):
    """On our own files, with a tiny new encoder of that architecture in the place of the Hub's."""
    page = (DOCS / "any-encoder.md").read_text(encoding="utf-8")
    script = re.search(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[1]
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    (tmp_path / "src").mkdir()
    for name in ("cli.py", "quickstart.py"):
        shutil.copy(DOCS.parent / "train" / name, tmp_path / "src" / name)
    encoders = runpy.run_path(str(Path(__file__).parent / "scripts" / "tiny_encoders.py"))
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "src").iterdir()]
    encoders["write"]("modernbert", tmp_path / "answerdotai" / "ModernBERT-base", texts)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "any-encoder.md", "exec"), names := {})
    counts = names["collator"].counts
    assert counts["documents"] == 2 * names["trainer"].args.num_train_epochs
    assert counts["masked_tokens"] > 0
    assert counts["parsed"] == counts["deobfuscated"]
    before = load_file(tmp_path / "answerdotai" / "ModernBERT-base" / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert not torch.equal(before["model.layers.0.attn.Wqkv.weight"], after["model.layers.0.attn.Wqkv.weight"])


def test_the_script_for_any_encoder_also_compiles_and_pushes(tmp_path, monkeypatch):
    """With the arguments of the Trainer for both, against the stand-in of the Hub."""
    page = (DOCS / "any-encoder.md").read_text(encoding="utf-8")
    script = re.search(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[1]
    more = "max_steps=2, torch_compile=True, torch_compile_backend='eager', push_to_hub=True, hub_model_id='user/model'"
    more += ", save_strategy='no', use_cpu=True"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "add.py").write_text("def add(first, second):\n    return first + second\n" * 9)
    encoders = runpy.run_path(str(Path(__file__).parent / "scripts" / "tiny_encoders.py"))
    encoders["write"]("modernbert", tmp_path / "answerdotai" / "ModernBERT-base", ["def add(first, second): return"])
    monkeypatch.chdir(tmp_path)
    with runpy.run_path(str(Path(__file__).parent / "stand_in_hub.py"))["StandInHub"]() as hub:
        for name, value in (("ENDPOINT", hub.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_user")
        exec(
            compile(
                script.replace("remove_unused_columns=False", f"remove_unused_columns=False, {more}"), page, "exec"
            ),
            names := {},
        )
        names["trainer"].push_to_hub()
        pushed = hub.repos["user/model"].at("main").files
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == pushed["model.safetensors"]
    assert isinstance(names["trainer"].model_wrapped, torch._dynamo.OptimizedModule)
