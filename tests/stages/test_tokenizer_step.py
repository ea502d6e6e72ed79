"""The step `tokenizer`: from a corpus folder to a tokenizer folder."""

import json
from pathlib import Path

import pytest
from open_codesage.train.corpus.corpus import FILE_COLUMNS, PartWriter
from open_codesage.train.stages.configs import TokenizerConfig
from open_codesage.train.stages.tokenizer import main
from transformers import AutoTokenizer

HELD_OUT_WORD = "zebracorn"
PYTHON = [f"def function_{i}(argument):\n    return argument + {i}\n" * 20 for i in range(30)]
JAVA = ["public class Main { private static final int VALUE = 1; }\n" * 20] * 5


@pytest.fixture
def corpus(tmp_path) -> Path:
    folder = tmp_path / "corpus"
    held_out = [f"{HELD_OUT_WORD} = {HELD_OUT_WORD}\n" * 50]
    with PartWriter(folder / "files", FILE_COLUMNS) as writer:
        for language, texts in ("python", [*PYTHON, *held_out]), ("java", JAVA):
            for i, text in enumerate(texts):
                unit = "held" if HELD_OUT_WORD in text else f"{language}{i}"
                writer.write({"text": text, "language": language, "path": unit, "licence": "", "unit": unit})
    (folder / "held_out.json").write_text(json.dumps({"units": ["held"]}))
    return folder


def tokens_for(tokenizer, word: str) -> int:
    return len(tokenizer(word, add_special_tokens=False)["input_ids"])


def test_it_learns_from_the_training_files_only(corpus, tmp_path, capsys):
    output = main(TokenizerConfig(corpus=corpus, output=tmp_path / "out", vocab_size=350, max_length=77))
    assert output == tmp_path / "out"
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert tokenizer.model_max_length == 77
    assert tokens_for(tokenizer, " argument") == 1
    assert tokens_for(tokenizer, " private") < len(" private")
    assert tokens_for(tokenizer, HELD_OUT_WORD) > 5
    assert f"{len(tokenizer):,} tokens" in capsys.readouterr().out
    everything = TokenizerConfig(corpus=corpus, output=tmp_path / "all", vocab_size=350)
    (corpus / "held_out.json").write_text(json.dumps({"units": []}))
    assert tokens_for(AutoTokenizer.from_pretrained(main(everything)), HELD_OUT_WORD) <= 2  # had it been read


def test_languages_can_be_chosen(corpus, tmp_path):
    output = main(TokenizerConfig(corpus=corpus, output=tmp_path / "out", vocab_size=350, languages=("java",)))
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert tokens_for(tokenizer, " private") == 1
    assert tokens_for(tokenizer, " argument") > 2


def test_a_limit_holds_for_each_language(corpus, tmp_path, capsys):
    """One large language does not drown a small one; the files are the same every time."""
    outputs = []
    for name in "one", "two":
        config = TokenizerConfig(corpus=corpus, output=tmp_path / name, vocab_size=300, max_megabytes=0.002)
        outputs.append((main(config) / "tokenizer.json").read_bytes())
        assert "from 4 files" in capsys.readouterr().out  # two of each: a file is about 0.001 MB
    assert outputs[0] == outputs[1]


def test_a_small_corpus_says_so(corpus, tmp_path, capsys):
    main(TokenizerConfig(corpus=corpus, output=tmp_path / "out", vocab_size=5000, languages=("java",)))
    assert "of 5,000: there is no more to learn" in capsys.readouterr().out


def test_what_is_there_is_left_alone(corpus, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already there"):
        main(TokenizerConfig(corpus=corpus, output=tmp_path / "out"))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 100}, "vocab_size must be at least 259, not 100"),
        ({"max_length": 1}, "max_length must be at least 2, not 1"),
        ({"languages": ("ruby",)}, "ruby"),
    ],
)
def test_useless_settings_leave_nothing(corpus, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        main(TokenizerConfig(corpus=corpus, output=tmp_path / "out", **settings))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["corpus"]


@pytest.mark.parametrize("settings", [{"max_megabytes": 0.0}, {"languages": ("klingon",)}])
def test_nonsense_is_refused_at_once(settings):
    with pytest.raises(ValueError, match=r"max_megabytes|klingon"):
        TokenizerConfig(corpus=Path("nowhere"), output=Path("nowhere"), **settings)
