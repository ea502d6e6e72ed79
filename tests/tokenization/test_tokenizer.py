"""The tokenizer keeps its promises however it is called, and wherever it is loaded."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_codesage.tokenization.tokenizer import forget_calls, train_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

END, MASK, PAD = 0, 1, 2
STDLIB = Path(sysconfig.get_path("stdlib"))
TEXTS = [(STDLIB / name).read_text("utf-8") for name in ("argparse.py", "json/decoder.py", "textwrap.py", "token.py")]
CODE = "def get(self, x10=1):\n    return self.items[x10]  # a comment\n"


@pytest.fixture(scope="module")
def trained() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, vocab_size=1000, model_max_length=128)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    trained.save_pretrained(folder)
    return folder


@pytest.fixture(params=["trained", "reloaded", "saved twice"], scope="module")
def tokenizer(request, trained, folder, tmp_path_factory):
    if request.param == "trained":
        return trained
    reloaded = AutoTokenizer.from_pretrained(folder)
    if request.param == "reloaded":
        return reloaded
    again = tmp_path_factory.mktemp("again")
    reloaded.save_pretrained(again)
    return AutoTokenizer.from_pretrained(again)


def test_special_tokens_have_their_ids_and_only_they_are_special(tokenizer):
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<mask>", "<pad>"]) == [END, MASK, PAD]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (END, END, END)
    assert (tokenizer.mask_token_id, tokenizer.pad_token_id) == (MASK, PAD)
    assert sorted(tokenizer.all_special_ids) == [END, MASK, PAD]
    assert len(tokenizer) == 1000


def test_settings_travel_with_the_folder(tokenizer):
    assert tokenizer.model_max_length == 128
    assert tokenizer.padding_side == tokenizer.truncation_side == "right"
    assert tokenizer.split_special_tokens


WAYS = {
    "call": lambda tokenizer, text, **options: tokenizer(text, **options)["input_ids"],
    "encode": lambda tokenizer, text, **options: tokenizer.encode(text, **options),
    "batch": lambda tokenizer, text, **options: tokenizer([text, "x"], **options)["input_ids"][0],
    "padded batch": lambda tokenizer, text, **options: [
        token for token in tokenizer([text, "x " * 30], padding=True, **options)["input_ids"][0] if token != PAD
    ],
    "tensors": lambda tokenizer, text, **options: tokenizer(text, return_tensors="np", **options)["input_ids"][
        0
    ].tolist(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("text", [CODE, "", " ", "a <mask> b<|endoftext|>c<pad>"])
def test_every_call_ends_with_the_end_token_and_reads_special_tokens_as_text(tokenizer, way, text):
    ids = way(tokenizer, text)
    assert ids[-1] == END
    assert not {END, MASK, PAD} & set(ids[:-1])
    assert tokenizer.decode(ids[:-1]) == text


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_end_token_survives_truncation(tokenizer, way):
    whole = way(tokenizer, CODE)
    assert way(tokenizer, CODE, truncation=True, max_length=7) == [*whole[:6], END]
    assert way(tokenizer, "word " * 500, truncation=True)[-1] == END
    assert len(way(tokenizer, "word " * 500, truncation=True)) == 128


def test_a_pair_has_two_end_tokens(tokenizer):
    first, second = tokenizer("a = 1")["input_ids"], tokenizer("b = 2")["input_ids"]
    assert tokenizer("a = 1", "b = 2")["input_ids"] == first + second


def test_special_tokens_are_read_as_such_on_request(tokenizer):
    assert tokenizer("a<mask>", split_special_tokens=False)["input_ids"][-2:] == [MASK, END]
    assert MASK not in tokenizer("a<mask>")["input_ids"]  # and the request does not outlast the call


def test_the_folder_needs_nothing_of_this_package(folder):
    """Two files, which a process without open_codesage opens as a class of transformers."""
    assert sorted(file.name for file in folder.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    code = (
        "import sys; sys.modules['open_codesage'] = None\n"
        "from transformers import AutoTokenizer\n"
        f"print(AutoTokenizer.from_pretrained({str(folder)!r})({CODE!r})['input_ids'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(AutoTokenizer.from_pretrained(folder)(CODE)["input_ids"])


def test_sentence_transformers_gets_the_same_tokens(folder, tmp_path):
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = SentenceTransformer(str(tmp_path), device="cpu")
    text = f"{CODE} <mask> <|endoftext|>"
    assert model.preprocess([text])["input_ids"].tolist() == [tokenizer(text)["input_ids"]]
    model.max_seq_length = 9
    assert model.preprocess([text])["input_ids"].tolist() == [[*tokenizer(text)["input_ids"][:8], END]]


def test_the_same_texts_give_the_same_bytes(folder, tmp_path):
    """Also with another number of threads, in another process with other hash seeds."""
    for threads in "1", "3":
        code = (
            "from open_codesage.tokenization.tokenizer import forget_calls, train_tokenizer\n"
            "from pathlib import Path\n"
            f"texts = [Path({str(STDLIB)!r}, name).read_text('utf-8') for name in "
            "('argparse.py', 'json/decoder.py', 'textwrap.py', 'token.py')]\n"
            f"train_tokenizer(texts, 1000, 128).save_pretrained({str(tmp_path / threads)!r})"
        )
        environment = {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
        for file in folder.iterdir():
            assert (tmp_path / threads / file.name).read_bytes() == file.read_bytes()


def test_other_texts_give_other_bytes(trained):
    other = train_tokenizer(TEXTS[:2], vocab_size=1000, model_max_length=128)
    assert other.backend_tokenizer.to_str() != trained.backend_tokenizer.to_str()


@settings(max_examples=300)
@given(st.text() | st.text(alphabet="aé\u0301_9 \t\r\n$@#?!(中😀\ufeff\u200d<|>mask"))
def test_decoding_gives_back_any_text(trained, text):
    ids = trained(text)["input_ids"]
    assert trained.decode(ids, skip_special_tokens=True) == text
    assert not {END, MASK, PAD} & set(ids[:-1])


def pieces(tokenizer, text: str) -> list[str]:
    """Where words can be split at all: tokens are parts of these."""
    return [text[start:end] for _, (start, end) in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__init__(self, x)", ["__init__", "(", "self", ",", " x", ")"]),
        ("x1 = 1234", ["x", "1", " =", " ", "1", "2", "3", "4"]),
        ("if x:\n        return y", ["if", " x", ":", "\n       ", " return", " y"]),
        ("a\r\n\r\n\t\tb", ["a", "\r\n\r\n\t\t", "b"]),
        ("\n    1", ["\n    ", "1"]),
        ("a.b->c::d", ["a", ".", "b", "->", "c", "::", "d"]),
        ("obj.empty?(x) && y!", ["obj", ".", "empty", "?", "(", "x", ")", " &&", " y", "!"]),
        ("a !== b ?? c", ["a", " !==", " b", " ??", " c"]),
        ("$$name->$x", ["$", "$", "name", "->", "$", "x"]),
        ('"#@name #{@@b}"', ['"', "#", "@", "name", " #", "{", "@", "@", "b", '}"']),
        ("##### @Override", ["#####", " @", "Override"]),
        ("e\u0301te\u0301(名前)=😀x", ["e\u0301te\u0301", "(", "名前", ")=", "😀", "x"]),
    ],
)
def test_where_words_are_split(trained, text, expected):
    assert pieces(trained, text) == expected


@settings(max_examples=200)
@given(st.text(alphabet="aé_ (\n09²٣ⅷ"))
def test_digits_stand_alone(trained, text):
    for piece in pieces(trained, text):
        assert len(piece) == 1 or not set(piece) & set("09²٣ⅷ")


@pytest.mark.parametrize("character", ["a", " ", "(", "\n", "é", "$"])
def test_endless_runs_do_not_stop_it(trained, character):
    """An unbounded run makes the regular-expression engine panic, from about ten million characters on."""
    assert max(map(len, pieces(trained, character * 5000))) <= 1001
    assert trained(character * 200_000)["input_ids"][-1] == END


@pytest.mark.parametrize(
    ("texts", "vocab_size", "length", "message"),
    [
        ([CODE], 258, 128, "vocab_size is 258, but 256 bytes and 3 special tokens need 259"),
        ([CODE], 300, 1, "model_max_length is 1"),
        ([], 300, 128, "no text"),
        (["", ""], 300, 128, "no text"),
    ],
)
def test_useless_settings_are_refused(texts, vocab_size, length, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(texts, vocab_size, length)


def test_the_smallest_vocabulary_is_the_bytes(trained):
    smallest = train_tokenizer([CODE], 259, 128)
    assert len(smallest) == 259
    assert len(smallest("é(")["input_ids"]) == 4


@pytest.mark.parametrize(
    "call",
    [
        {"truncation": True, "max_length": 48},
        {"truncation": True, "max_length": 80, "stride": 3},
        {"padding": "max_length", "max_length": 64},
        {"padding": True, "pad_to_multiple_of": 8},
        {"padding": True, "truncation": True},
    ],
)
def test_the_latest_call_is_not_saved(folder, tmp_path, call):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer([CODE, "x"], **call)
    tokenizer.save_pretrained(tmp_path / "left")
    assert (tmp_path / "left" / "tokenizer.json").read_bytes() != (folder / "tokenizer.json").read_bytes()
    again = AutoTokenizer.from_pretrained(tmp_path / "left")  # As the export opens what a training has left.
    for one, name in ((tokenizer, "same"), (again, "mended")):
        forget_calls(one)
        one.save_pretrained(tmp_path / name)
        assert (tmp_path / name / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
        assert one.model_max_length == 128
    mended = (tmp_path / "mended" / "tokenizer_config.json").read_text()
    assert '"max_length"' not in mended
    assert "stride" not in mended
