"""Export: the Hub folder holds the trained model, the whole of it and nothing else, or it is not written at all."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from open_codesage.modeling.auto_classes import AUTO_MAP
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.evaluation.evaluate import main as evaluate
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ExportConfig
from open_codesage.train.release.export import main
from open_codesage.train.release.layout import FILES, PROBES
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

tiny = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "export_tiny.py"))
TEXTS = [*PROBES, "🙂 = '変数'", "x = 1\n" * 200]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return tiny["stage_one"](tmp_path_factory.mktemp("stages") / "first")


@pytest.fixture(scope="module")
def second(first):
    return tiny["stage_two"](first.with_name("second"), first)


@pytest.fixture(scope="module")
def exported(first, tmp_path_factory):
    return main(ExportConfig(model=first, output=tmp_path_factory.mktemp("hub") / "open-codesage-tiny"))


@pytest.fixture
def damaged(exported, tmp_path):
    """A copy of a valid Hub folder, to be damaged."""
    return Path(shutil.copytree(exported, tmp_path / "damaged"))


def embed(model, tokenizer):
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return normalize(model(**batch).pooler_output, dim=-1)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# What the folder holds


def test_the_folder_holds_the_listed_files_and_nothing_else(exported):
    assert contents(exported).keys() == FILES.keys()
    assert list(exported.parent.iterdir()) == [exported], "nothing may be left beside the folder"


def test_one_record_of_figures_goes_with_the_model(first, tmp_path):
    tasks = Path(__file__).parents[2] / "model_cards" / "tasks" / "held-out"
    evaluate(EvaluateConfig(models=(str(first),), tasks=(str(tasks),), output=tmp_path / "figures", max_length=16))
    record = tmp_path / "figures" / "results.json"
    folder = main(ExportConfig(model=first, output=tmp_path / "hub", metrics=(record,)))
    assert (folder / "results.json").read_bytes() == record.read_bytes()
    assert not check_folder(folder)
    again = ExportConfig(model=first, output=folder, metrics=(record, record), overwrite=True)
    with pytest.raises(ValueError, match="measured twice"):
        main(again)
    assert (folder / "results.json").is_file()
    main(ExportConfig(model=first, output=folder, overwrite=True))
    assert contents(folder).keys() == FILES.keys()


def test_every_file_can_be_read_by_others(exported):
    assert {path.stat().st_mode & 0o444 for path in exported.rglob("*") if path.is_file()} == {0o444}


def test_no_file_tells_about_this_machine(exported, first):
    machine = [
        str(path).encode() for path in (exported.parent, first, Path.cwd(), Path.home(), Path(__file__).parents[2])
    ]
    for name, content in contents(exported).items():
        assert not [path for path in machine if path in content and path != b"/"], name
        assert b"local_files_only" not in content, name


def test_the_config_maps_every_auto_class_and_asks_for_float32(exported):
    config = json.loads((exported / "config.json").read_text())
    assert config["auto_map"] == AUTO_MAP
    assert config["dtype"] == "float32"


def test_the_config_has_the_special_tokens_of_the_tokenizer(tmp_path):
    model = tiny["stage_one"](tmp_path / "model", pad_token_id=7, eos_token_id=None)
    config = json.loads((main(ExportConfig(model=model, output=tmp_path / "hub")) / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (0, 0, 2)


def test_weights_are_bitwise_those_of_the_model_under_the_published_names(exported, first):
    trained, released = load_file(first / "model.safetensors"), load_file(exported / "model.safetensors")
    assert any(name.startswith("transformer.") for name in trained)
    assert released.keys() == {name.removeprefix("transformer.") for name in trained}
    assert {"wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "ln_f.bias"} <= released.keys()
    assert all(torch.equal(released[name.removeprefix("transformer.")], tensor) for name, tensor in trained.items())


def test_the_tied_head_needs_no_weights_of_its_own(exported, first):
    model, info = AutoModelForMaskedLM.from_pretrained(exported, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = AutoTokenizer.from_pretrained(exported)(TEXTS[:2], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = AutoModelForMaskedLM.from_pretrained(first)(**batch).logits
        assert torch.equal(model(**batch).logits, expected)


def test_both_libraries_give_the_embeddings_of_the_trained_model(exported, first):
    """AutoModel bitwise, sentence-transformers within 1e-6: it pools by itself."""
    tokenizer = AutoTokenizer.from_pretrained(exported)
    trained = embed(AutoModel.from_pretrained(first), tokenizer)
    assert torch.equal(embed(AutoModel.from_pretrained(exported), tokenizer), trained)
    sentence_model = SentenceTransformer(str(exported), device="cpu")
    assert (sentence_model.encode(TEXTS, convert_to_tensor=True) - trained).abs().max() < 1e-6
    assert (trained @ trained.T - torch.eye(len(TEXTS))).abs().max() > 0.1, (
        "texts must differ for this to mean anything"
    )
    assert (trained[0] - trained[1]).abs().max() > 1e-3


def test_the_longest_input_is_the_trained_one_and_ends_with_eos(exported):
    sentence_model = SentenceTransformer(str(exported), device="cpu")
    assert sentence_model.max_seq_length == tiny["MAX_LENGTH"] < tiny["POSITIONS"]
    ids = AutoTokenizer.from_pretrained(exported)(TEXTS[-1], truncation=True)["input_ids"]
    assert len(ids) == tiny["MAX_LENGTH"]
    assert ids[-1] == 0


def test_sentence_transformers_asks_for_no_prompt_and_compares_by_cosine(exported):
    sentence_model = SentenceTransformer(str(exported), device="cpu")
    assert not any(sentence_model.prompts.values())
    assert sentence_model.default_prompt_name is None
    assert sentence_model.similarity_fn_name == "cosine"


# What can be exported


def test_a_stage_two_folder_gives_its_own_embeddings(second, tmp_path):
    exported = main(ExportConfig(model=second, output=tmp_path / "hub"))
    assert contents(exported).keys() == FILES.keys()
    expected = SentenceTransformer(str(second), device="cpu").encode(TEXTS)
    assert (SentenceTransformer(str(exported), device="cpu").encode(TEXTS) == expected).all()


def test_an_encoder_without_a_head_gives_the_same_folder(exported, first, tmp_path):
    AutoModel.from_pretrained(first).save_pretrained(tmp_path / "encoder")
    AutoTokenizer.from_pretrained(first).save_pretrained(tmp_path / "encoder")
    again = main(ExportConfig(model=tmp_path / "encoder", output=tmp_path / exported.name))
    assert contents(again) == contents(exported)


def test_an_export_can_be_exported_again(exported, tmp_path):
    again = main(ExportConfig(model=exported, output=tmp_path / exported.name))
    assert contents(again) == contents(exported)


def test_bfloat16_is_stored_but_float32_is_opened(first, tmp_path):
    exported = main(ExportConfig(model=first, output=tmp_path / "hub", dtype="bfloat16"))
    stored, trained = load_file(exported / "model.safetensors"), load_file(first / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    for model in (
        AutoModel.from_pretrained(exported),
        SentenceTransformer(str(exported), device="cpu")[0].auto_model,
    ):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, trained[f"transformer.{name}"].bfloat16().float())
    assert AutoModelForMaskedLM.from_pretrained(exported).lm_head.weight.dtype == torch.float32


# What is refused: a clear message, and nothing is written


def refused(tmp_path, match, **config):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=match):
        main(ExportConfig(**({"output": tmp_path / "hub"} | config)))
    assert sorted(tmp_path.iterdir()) == before, "nothing may be written"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(first, tmp_path, value):
    model = Path(shutil.copytree(first, tmp_path / "model"))
    edit_weights(model, lambda weights: weights["transformer.h.1.mlp.c_fc.weight"].view(-1)[3:4].fill_(value))
    refused(tmp_path, r"h\.1\.mlp\.c_fc\.weight holds NaN or Inf", model=model)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda weights: weights.pop("transformer.ln_f.bias"), "lack ln_f.bias"),
        (lambda weights: weights.update({"transformer.ln_f.bias": torch.zeros(33)}), r"ln_f.bias has shape \[33\]"),
        (lambda weights: weights.update({"classifier.weight": torch.zeros(2, 32)}), "classifier.weight is no part"),
    ],
    ids=["missing", "shape", "another head"],
)
def test_weights_that_do_not_fit_the_config(first, tmp_path, change, match):
    model = Path(shutil.copytree(first, tmp_path / "model"))
    edit_weights(model, change)
    refused(tmp_path, match, model=model)


def test_a_head_of_its_own(tmp_path):
    model = tiny["stage_one"](tmp_path / "model", tie_word_embeddings=False)
    refused(tmp_path, "lm_head.weight is no part", model=model)
    AutoModel.from_pretrained(model).save_pretrained(model)
    refused(tmp_path, "tie_word_embeddings is false", model=model)


def test_pickled_weights_are_refused_with_the_way_to_convert_them(first, tmp_path):
    model = Path(shutil.copytree(first, tmp_path / "model"))
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    main(ExportConfig(model=model, output=tmp_path / "beside"))  # beside safetensors, a pickle is not even looked at
    (model / "model.safetensors").unlink()
    refused(tmp_path, "pytorch_model.bin is a pickle.*open-codesage convert", model=model)


def test_folders_that_hold_no_model(tmp_path):
    refused(tmp_path, "not a model folder", model=tmp_path / "missing")
    (tmp_path / "model").mkdir()
    refused(tmp_path, "not a model folder", model=tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    refused(tmp_path, "model weights in safetensors", model=tmp_path / "model")


@pytest.mark.parametrize(
    ("options", "match"),
    [({"pooling": "cls"}, "only encoder, mean pooling"), ({"prompts": {"query": "find: "}}, "without prompts")],
)
def test_sentence_transformers_that_would_lose_something(first, tmp_path, options, match):
    refused(tmp_path, match, model=tiny["stage_two"](tmp_path / "model", first, **options))


def test_a_name_that_the_hub_does_not_take(first, tmp_path):
    refused(tmp_path, "cannot be the name of a model", model=first, name="two words")
    refused(tmp_path, "cannot be the name of a model", model=first, output=tmp_path / "two words")


def test_a_record_that_can_not_be_read_leaves_nothing_behind(first, tmp_path):
    """The card is filled after the weights have been written, so there is something to clean up."""
    (tmp_path / "results.json").write_text("[]")
    refused(tmp_path, "results.json (is not|holds a list)", model=first, metrics=(tmp_path / "results.json",))


# An earlier export in the way


def test_an_earlier_export_is_replaced_only_on_request(first, second, tmp_path):
    exported = main(ExportConfig(model=first, output=tmp_path / "hub"))
    before = contents(exported)
    refused(tmp_path, "already there: set overwrite", model=second)
    assert contents(exported) == before
    main(ExportConfig(model=second, output=exported, license="mit", overwrite=True))
    assert b"license: mit" in contents(exported)["README.md"]
    assert list(tmp_path.iterdir()) == [exported]


def test_a_failed_replacement_leaves_the_earlier_export(first, tmp_path):
    exported = main(ExportConfig(model=first, output=tmp_path / "hub"))
    before = contents(exported)
    refused(tmp_path, "missing is missing", model=first, metrics=(tmp_path / "missing",), overwrite=True)
    assert contents(exported) == before


def test_files_of_others_are_never_overwritten(first, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "thesis.tex").write_text("three years of work")
    refused(tmp_path, "thesis.tex was not written by an export", model=first, overwrite=True)
    refused(tmp_path, "is the model folder itself", model=first, output=first, overwrite=True)
    assert contents(tmp_path / "hub") == {"thesis.tex": b"three years of work"}


# The check of a folder


def test_a_valid_folder_has_no_problems(damaged):
    assert check_folder(damaged) == []


def _replace(name, old, new):
    def damage(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return damage


def _no_eos(folder):
    edit_json(folder / "tokenizer.json", post_processor=None)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "modules.json").unlink(), "modules.json is missing"),
        (lambda folder: (folder / "optimizer.pt").touch(), "optimizer.pt does not belong .* pickle"),
        (lambda folder: (folder / "training.json").touch(), "training.json does not belong"),
        (lambda folder: (folder / "modules.json").write_text("["), "modules.json is not JSON"),
        (lambda folder: edit_json(folder / "config.json", dtype="bfloat16"), "dtype is 'bfloat16'"),
        (lambda folder: edit_json(folder / "config.json", auto_map={}), "auto_map must say AutoModelForMaskedLM"),
        (lambda folder: edit_json(folder / "config.json", vocab_size=7), "wte.weight has shape"),
        (lambda folder: edit_json(folder / "config.json", hidden_size=31), "does not describe a CodeSage model"),
        (lambda folder: edit_json(folder / "config.json", pad_token_id=1), "disagree on the pad token"),
        (
            _replace("modeling_codesage.py", "class CodeSageForMaskedLM", "class Other"),
            "not define CodeSageForMaskedLM",
        ),
        (_replace("modeling_codesage.py", "import torch\n", "import torch\nimport open_codesage\n"), "open_codesage"),
        (_replace("modeling_codesage.py", ".configuration_codesage", ".elsewhere"), r"imports \.elsewhere"),
        (_replace("modeling_codesage.py", "import torch\n", "import torch torch\n"), "not Python"),
        (_replace("README.md", "license:", "licence:"), "names no license"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "no readable safetensors"),
        (lambda folder: edit_weights(folder, lambda w: w["wte.weight"][0, 0:1].fill_(float("nan"))), "NaN or Inf"),
        (lambda folder: edit_json(folder / "tokenizer_config.json", model_max_length=97), "beyond the model's 96"),
        (lambda folder: edit_json(folder / "tokenizer_config.json", auto_map={}), "class of its own"),
        (_no_eos, "with EOS"),
        (lambda folder: edit_json(folder / "1_Pooling" / "config.json", pooling_mode="cls"), "pooler_output"),
    ],
)
def test_a_damaged_folder_is_found_out(damaged, damage, problem):
    damage(damaged)
    problems = check_folder(damaged)
    assert problems
    assert any(re.search(problem, found) for found in problems), problems


def test_the_check_runs_no_code_of_the_folder(damaged, tmp_path):
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n"
    for code in damaged.glob("*.py"):
        code.write_text(trap + code.read_text())
    assert check_folder(damaged) == []
    assert not (tmp_path / "sprung").exists()


def test_a_wrong_path_is_refused_before_any_library_is_opened(tmp_path):
    """They take seconds to open."""
    script = "import sys; from open_codesage.train.cli import main; status = main(sys.argv[1:]); "
    script += "sys.exit(1 if {'torch', 'transformers', 'sentence_transformers'} & {*sys.modules} else status + 100)"
    command = [sys.executable, "-c", script, "export", "--model", tmp_path / "none", "--output", tmp_path / "hub"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 101, done.stderr
    assert "is not a model folder" in done.stderr
