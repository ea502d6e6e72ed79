"""Convert: a checkpoint as the authors published it becomes a Hub folder with their weights and their token ids."""

import itertools
import json
import os
import pickle
import runpy
import shutil
import zipfile
from pathlib import Path

import pytest
import regex
import torch
from huggingface_hub import ModelCard
from open_codesage.train import cli
from open_codesage.train.release.check import check_folder
from open_codesage.train.release.config import ConvertConfig
from open_codesage.train.release.convert import LANGUAGES, main
from open_codesage.train.release.layout import FILES
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, GPT2Tokenizer

checkpoint = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "published_checkpoint.py"))
published, GOLDEN, END, STARCODER = (checkpoint[name] for name in ("published", "GOLDEN", "END", "STARCODER"))

TEXTS = [
    "",
    " ",
    "x =    1",
    "    return 12345678901234567890.5e-10 + 0x1F",
    "a1b22c333 1_000 ½²³ ٣٤ Ⅷ \n\n   7",
    "🙂👩‍👩‍👧‍👦 = '変数' # 変數 çé ﬁ \u200b\u3000",
    "line\r\n\r\n  next\r\rlast\r",
    "\t\tif x:\n" + " " * 333 + "y" + "\n" * 77 + "\t \t z   ",
    f"s = '{END}'{END}  {END} <mask><pad> <fim_prefix>x<reponame>",
    "<|endoftext <mask > < pad>",
    "it's we'LL they've I'd 's 't",
    "__init__ return    returnreturn def de f",
    "\x00\x1c\x85\ufeff\x7f\ud7ff\U0010ffff",
    " leading and trailing \u2028 ",
]


def slow_ids(folder, text):
    """GPT-2's algorithm word for word, in Python: the reference that shares no code with what is tested."""
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    added = vocab | json.loads((folder / "added_tokens.json").read_text())
    ranks = {pair: rank for rank, pair in enumerate(checkpoint["MERGES"])}
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {**{byte: chr(byte) for byte in visible}, **{byte: chr(256 + at) for at, byte in enumerate(hidden)}}
    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    ids = []
    for part in regex.split("(" + "|".join(map(regex.escape, [*STARCODER, "<mask>", "<pad>"])) + ")", text):
        if part in STARCODER or part in ("<mask>", "<pad>"):
            ids.append(added[part])
            continue
        for word in regex.findall(words, part):
            pieces = [letters[byte] for byte in word.encode()]
            while pairs := [pair for pair in itertools.pairwise(pieces) if pair in ranks]:
                best, joined, at = min(pairs, key=ranks.__getitem__), [], 0
                while at < len(pieces):
                    found = tuple(pieces[at : at + 2]) == best
                    joined.append("".join(best) if found else pieces[at])
                    at += 1 + found
                pieces = joined
            ids += [vocab[piece] for piece in pieces]
    return [*ids, 0]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return published(tmp_path_factory.mktemp("authors") / "codesage-tiny")


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    return main(ConvertConfig(source=source, output=tmp_path_factory.mktemp("hub") / "codesage-tiny"))


@pytest.fixture
def copied(source, tmp_path):
    """A copy of the checkpoint, to be changed."""
    return Path(shutil.copytree(source, tmp_path / "source"))


def edit(path, **changes):
    content = json.loads(path.read_text()) | changes
    checkpoint["write"](path, {key: value for key, value in content.items() if value is not None})


def resave(folder, change):
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(change(weights) or weights, folder / "pytorch_model.bin")


# The folder


def test_it_is_a_valid_hub_folder_and_nothing_is_left_beside_it(converted):
    found = {path.relative_to(converted).as_posix() for path in converted.rglob("*") if path.is_file()}
    assert found == FILES.keys()
    assert check_folder(converted) == []
    assert list(converted.parent.iterdir()) == [converted]


@pytest.mark.parametrize(
    "layout",
    [{}, {"prefix": "transformer."}, {"prefix": "transformer.", "head": True, "shards": 2}, {"safetensors": True}],
    ids=["bare", "prefixed", "prefixed with head in shards", "safetensors"],
)
def test_weights_are_bitwise_the_published_ones_in_every_layout(layout, tmp_path):
    folder = main(ConvertConfig(source=published(tmp_path / "source", **layout), output=tmp_path / "hub"))
    stored, golden = load_file(folder / "model.safetensors"), load_file(GOLDEN / "model.safetensors")
    assert stored.keys() == golden.keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in golden.items())


@torch.no_grad()
def test_every_way_in_computes_what_the_published_code_computes(converted):
    expected = load_file(GOLDEN / "expected.safetensors")
    inputs, kept = (expected["input_ids"], expected["attention_mask"]), expected["attention_mask"].bool()
    output = AutoModel.from_pretrained(converted)(*inputs)
    assert (output.pooler_output - expected["pooler_output"]).abs().max() < 1e-5
    assert (output.last_hidden_state[kept] - expected["last_hidden_state"][kept]).abs().max() < 1e-5
    logits = AutoModelForMaskedLM.from_pretrained(converted)(*inputs).logits
    assert (logits[kept] - expected["mlm_logits"][kept]).abs().max() < 1e-5
    encoder = SentenceTransformer(str(converted), device="cpu")
    pooled = AutoModel.from_pretrained(converted)(
        **encoder.tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    )
    wanted = torch.nn.functional.normalize(pooled.pooler_output, dim=-1)
    assert (encoder.encode(TEXTS, convert_to_tensor=True) - wanted).abs().max() < 1e-6


def test_bfloat16_stays_bfloat16_and_nothing_is_rounded(copied, tmp_path):
    resave(copied, lambda weights: {name: tensor.bfloat16() for name, tensor in weights.items()})
    folder = main(ConvertConfig(source=copied, output=tmp_path / "hub"))
    stored, golden = load_file(folder / "model.safetensors"), load_file(GOLDEN / "model.safetensors")
    assert all(torch.equal(stored[name], tensor.bfloat16()) for name, tensor in golden.items())
    assert AutoModel.from_pretrained(folder).dtype == torch.float32


# The tokenizer


def test_ids_are_those_of_gpt2s_tokenizer_with_the_authors_settings(source, converted, tmp_path):
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"):
        shutil.copy(source / name, tmp_path)
    reference = GPT2Tokenizer.from_pretrained(tmp_path, add_eos_token=True, add_prefix_space=False)
    ours = AutoTokenizer.from_pretrained(converted)
    assert len(ours) == len(reference) == 300
    for text in TEXTS:
        assert ours(text)["input_ids"] == reference(text)["input_ids"] == slow_ids(source, text), repr(text)
        assert ours.decode(ours(text)["input_ids"]) == text + END
    assert ours(TEXTS[3], TEXTS[4])["input_ids"] == reference(TEXTS[3], TEXTS[4])["input_ids"]
    assert set(ours.all_special_tokens) == {*STARCODER, "<mask>", "<pad>"}


def test_the_strings_are_hard(source):
    """They hold every kind of trap: else equality would say little."""
    ids = {text: slow_ids(source, text) for text in TEXTS}
    assert {0, 1, 18, 298, 299} <= set(ids[TEXTS[8]][:-1])
    assert not {298, 299} & set(ids[TEXTS[9]])
    assert len({number for numbers in ids.values() for number in numbers}) > 100


def test_tokenizer_json_is_another_choice_and_differs_only_at_blanks_before_digits(source, converted, tmp_path):
    config = ConvertConfig(source=source, output=tmp_path / "hub", tokenizer_files="tokenizer.json")
    fast, ours = AutoTokenizer.from_pretrained(main(config)), AutoTokenizer.from_pretrained(converted)
    differ = [text for text in TEXTS if fast(text)["input_ids"] != ours(text)["input_ids"]]
    assert "x =    1" in differ
    assert all(regex.search(r"\s\s\p{N}", text) for text in differ)
    assert sum(bool(regex.search(r"\p{N}", text)) for text in TEXTS) > len(differ) + 1
    assert fast("<mask><pad>")["input_ids"] == [298, 299, 0]


def test_the_longest_input_is_that_of_the_checkpoint_and_keeps_its_eos(source, converted, copied, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    ids = tokenizer("x = 1\n" * 200, truncation=True)["input_ids"]
    assert (len(ids), ids[-1]) == (64, 0)
    assert SentenceTransformer(str(converted), device="cpu").max_seq_length == 64
    (copied / "sentence_bert_config.json").unlink()
    assert AutoTokenizer.from_pretrained(main(ConvertConfig(copied, tmp_path / "hub"))).model_max_length == 128


# The card and the command


def test_the_card_names_origin_and_licence_and_claims_no_training(converted):
    card = ModelCard.load(converted / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == "codesage/codesage-tiny"
    assert card.data.datasets == ["bigcode/the-stack-dedup"]
    assert set(LANGUAGES) <= set(card.data.tags)
    assert "| Converted from | codesage/codesage-tiny |" in card.text
    assert "open-codesage has trained nothing" in card.text
    assert "trained with open-codesage" not in card.text
    assert "### Stage" not in card.text
    assert "under `apache-2.0`" in card.text


def test_the_command_takes_source_and_destination_by_place(source, tmp_path, capsys):
    assert cli.main(["convert", str(source), str(tmp_path / "hub"), "--origin", "user/other", "--license", "mit"]) == 0
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    assert (card.data.license, card.data.base_model) == ("mit", "user/other")
    assert "177,472 parameters as float32, at most 64 tokens" in capsys.readouterr().out
    assert cli.main(["convert", str(source), str(tmp_path / "hub")]) == 1
    assert "set overwrite" in capsys.readouterr().err


# What is refused: one line, and nothing is written


class Trap:
    """What a malicious pickle holds: opening it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def _sparse(weights):
    """A huge tensor that is one number, repeated."""
    return weights | {"wte.weight": torch.zeros(1).expand(300, 64)}


def _zip_bomb(folder):
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))


def _index(**names):
    def change(folder):
        (folder / "pytorch_model.bin").unlink()
        checkpoint["write"](folder / "pytorch_model.bin.index.json", {"weight_map": names})

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: edit(folder / "config.json", model_type="gpt2"), "another model .*gpt2.*only CodeSage"),
        (
            lambda folder: edit(folder / "config.json", architectures=["GPT2Model"], auto_map=None),
            r"another model .*GPT2Model",
        ),
        (lambda folder: edit(folder / "config.json", hidden_size=None), "lacks hidden_size"),
        (lambda folder: edit(folder / "config.json", hidden_size=10**9), "hidden_size must be .* at most"),
        (lambda folder: edit(folder / "config.json", _name_or_path="/mnt/run/x.pt"), "give its Hub id as origin"),
        (lambda folder: (folder / "README.md").unlink(), "give that of the checkpoint as license"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json holds a list"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing: download"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "neither model.safetensors nor pytorch_model.bin"),
        (
            lambda folder: resave(folder, lambda w: {name: w[name] for name in w if name != "h.1.ln_2.bias"}),
            r"lack h\.1\.ln_2\.bias",
        ),
        (lambda folder: resave(folder, lambda w: w | {"ln_f.bias": torch.zeros(65)}), r"has shape \[65\]"),
        (lambda folder: resave(folder, lambda w: w | {"h.0.attn.bias": torch.zeros(1)}), "no part of a CodeSage"),
        (lambda folder: resave(folder, lambda w: w | {"transformer.ln_f.bias": w["ln_f.bias"]}), "stored twice"),
        (lambda folder: resave(folder, lambda w: w | {"lm_head.weight": w["wte.weight"] + 1}), "head of its own"),
        (lambda folder: resave(folder, _sparse), "does not hold 19,200"),
        (lambda folder: resave(folder, lambda w: w | {"ln_f.bias": torch.full((64,), torch.nan)}), "NaN or Inf"),
        (lambda folder: resave(folder, lambda w: {"model": w}), "'model' is a dict"),
        (lambda folder: resave(folder, lambda w: list(w)), "holds a list"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 no"), "no file that torch"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(pickle.dumps({})), "no file that torch"),
        (_zip_bomb, "is compressed"),
        (_index(x="../../etc/passwd"), "never followed"),
        (_index(x="pytorch_model-2.bin"), "pytorch_model-2.bin, which is missing"),
        (lambda folder: (folder / "merges.txt").unlink(), "merges.txt is missing.*tokenizer.json as tokenizer_files"),
        (lambda folder: (folder / "merges.txt").write_text("#version\nĠ Ġ\nx\n"), "merges.txt, line 3: 'x'"),
        (lambda folder: edit(folder / "vocab.json", x=7), "does not number its 298 tokens"),
        (lambda folder: checkpoint["write"](folder / "vocab.json", {"a": 0}), "lacks 255 of the 256 bytes"),
        (lambda folder: edit(folder / "added_tokens.json", **{"<pad>": 400}), "gives <pad> the id 400"),
        (lambda folder: (folder / "added_tokens.json").unlink(), "lacks the special tokens <mask>, <pad>"),
        (lambda folder: edit(folder / "tokenizer_config.json", add_bos_token=True), "add_bos_token is true"),
        (lambda folder: edit(folder / "sentence_bert_config.json", max_seq_length=129), "give 2 to 128"),
    ],
)
def test_what_can_not_be_converted(copied, tmp_path, change, match):
    change(copied)
    with pytest.raises(ValueError, match=match):
        main(ConvertConfig(source=copied, output=tmp_path / "hub"))
    assert list(tmp_path.iterdir()) == [copied], "nothing may be written"


def test_a_pickle_that_would_run_code_is_not_opened(copied, tmp_path):
    trap = Trap(tmp_path / "sprung")
    torch.save({"wte.weight": trap}, copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"would run (posix|nt)\.mkdir when .*was not opened") as refused:
        main(ConvertConfig(source=copied, output=tmp_path / "hub"))
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [copied]
    torch.load(copied / "pytorch_model.bin", weights_only=False)
    assert trap.path.exists(), "the trap was none"


def test_a_hostile_tokenizer_json_is_refused(copied, tmp_path):
    edit(copied / "tokenizer.json", normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})
    with pytest.raises(ValueError, match=r"tokenizer\.json cannot be opened: .*charsmap"):
        main(ConvertConfig(source=copied, output=tmp_path / "hub", tokenizer_files="tokenizer.json"))


def test_safetensors_win_over_a_pickle_beside_them(copied, tmp_path):
    (copied / "pytorch_model.bin").write_bytes(b"no")
    weights = load_file(GOLDEN / "model.safetensors")
    save_file({f"transformer.{name}": tensor for name, tensor in weights.items()}, copied / "model.safetensors")
    assert main(ConvertConfig(source=copied, output=tmp_path / "hub")).is_dir()
