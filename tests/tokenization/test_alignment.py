"""Tokens and identifiers: every token of a name belongs to it, and nothing else does."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_codesage.tokenization import tokenizer as alignment
from open_codesage.tokenization.identifiers import Identifier, find_identifiers
from open_codesage.tokenization.tokenizer import encode_with_identifiers, train_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

STDLIB = Path(sysconfig.get_path("stdlib"))
FILES = ("argparse.py", "json/decoder.py", "textwrap.py", "enum.py", "colorsys.py")
TEXTS = [(STDLIB / name).read_text("utf-8") for name in FILES]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, vocab_size=1500, model_max_length=128)


@pytest.fixture(scope="module")
def gpt2() -> PreTrainedTokenizerFast:
    """The same vocabulary size from the same texts, split into words as GPT-2 does."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def spans_of(tokenizer, text: str) -> np.ndarray:
    return np.array(tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])


def identifiers_at(*parts: str | tuple[str, int]) -> tuple[str, list[Identifier]]:
    """Build a text from parts; a part with a number is an identifier."""
    text, found = "", []
    for part in parts:
        name, number = part if isinstance(part, tuple) else (part, 0)
        if number:
            found.append(Identifier(len(text), len(text) + len(name), name, "variable", number))
        text += name
    return text, found


def slow_alignment(spans: np.ndarray, identifiers: list[Identifier]) -> list[int]:
    """The definition: a token belongs to the identifier that its span overlaps."""
    return [next((x.id for x in identifiers if start < x.end and end > x.start), 0) for start, end in spans]


NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,8}", fullmatch=True),
    st.from_regex(r"(@@?|\$)?[a-zé名字\u0301_][a-z0-9é名字\u0301]{0,4}[?!]?", fullmatch=True),
    st.from_regex(r"[a-z$]{1,4}", fullmatch=True),
    st.text(alphabet="変数😀💡àß\u0301_", min_size=1, max_size=4),
)
GAPS = st.text(alphabet=" \t\r\n()[]{}.,;:=+-*/<>!?&|%^~\\\"'`#@$", min_size=1, max_size=5)


@st.composite
def code(draw) -> tuple[str, list[Identifier]]:
    """Names of all languages with any ASCII punctuation and white space between them."""
    names = draw(st.lists(NAMES, max_size=12))
    numbers = {name: i + 1 for i, name in enumerate(dict.fromkeys(names))}
    parts: list = [draw(GAPS)]
    for name in names:
        parts += [(name, numbers[name]), draw(GAPS)]
    return identifiers_at(*parts)


@settings(max_examples=400)
@given(code())
def test_no_token_holds_a_name_and_something_else(tokenizer, example):
    text, identifiers = example
    assert glued(spans_of(tokenizer, text), text, identifiers) == []
    # Tokens are parts of these pieces, so it holds for every vocabulary.
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert glued([span for _, span in pieces], text, identifiers) == []


def glued(spans, text: str, identifiers: list[Identifier]) -> list[str]:
    """Spans that overlap an identifier and a character outside of it that is not white space."""
    found = []
    for start, end in spans:
        for identifier in identifiers:
            if start < identifier.end and end > identifier.start:
                outside = text[start : max(start, identifier.start)] + text[min(end, identifier.end) : end]
                if outside.strip():
                    found.append(text[start:end])
    return found


@pytest.mark.parametrize("name", FILES)
def test_no_token_of_real_code_holds_a_name_and_something_else(tokenizer, gpt2, name):
    text = (STDLIB / name).read_text("utf-8")
    identifiers = find_identifiers(text, "python")[:400]
    text = text[: identifiers[-1].end + 1]
    assert len(identifiers) > 50
    assert glued(spans_of(tokenizer, text), text, identifiers) == []
    if "__init__(" in text:  # the promise is not one that any tokenizer keeps
        assert "__(" in glued(spans_of(gpt2, text), text, identifiers)


@settings(max_examples=200)
@given(code())
def test_alignment_is_overlap(tokenizer, gpt2, example):
    text, identifiers = example
    for each in tokenizer, gpt2:
        [(tokens, ids)] = encode_with_identifiers([text], [identifiers], each)
        assert tokens.tolist() == each(text, add_special_tokens=False)["input_ids"]
        assert ids.tolist() == slow_alignment(spans_of(each, text), identifiers)


def check_that_masks_and_rest_make_the_text(tokenizer, text: str, identifiers: list[Identifier]) -> None:
    """The tokens of a name spell its occurrences and the tokens of no name all the rest, white space aside."""
    [(tokens, ids)] = encode_with_identifiers([text], [identifiers], tokenizer)
    spelled = {
        0: "".join(
            text[a:b]
            for a, b in zip([0, *(x.end for x in identifiers)], [*(x.start for x in identifiers), None], strict=True)
        )
    }
    for identifier in identifiers:
        spelled[identifier.id] = spelled.get(identifier.id, "") + identifier.name
    assert set(ids) - {0} == set(spelled) - {0}
    for number, expected in spelled.items():
        assert "".join(tokenizer.decode(tokens[ids == number]).split()) == "".join(expected.split())


@settings(max_examples=200)
@given(code())
def test_masks_hold_the_names_and_nothing_else(tokenizer, example):
    check_that_masks_and_rest_make_the_text(tokenizer, *example)


@pytest.mark.parametrize("name", FILES)
def test_masks_of_real_code_hold_the_names_and_nothing_else(tokenizer, gpt2, name):
    text = (STDLIB / name).read_text("utf-8")
    identifiers = find_identifiers(text, "python")
    assert len({identifier.id for identifier in identifiers}) > 20
    check_that_masks_and_rest_make_the_text(tokenizer, text, identifiers)
    if "__init__(" in text:
        with pytest.raises(AssertionError):  # the promise is not one that any tokenizer keeps
            check_that_masks_and_rest_make_the_text(gpt2, text, identifiers)


TRAPS = {
    "carriage returns": ("a = 1\r\n\r\ndef ", ("count", 1), "(", ("x", 2), "):\r\n\treturn ", ("x", 2), "\r\n"),
    "byte order mark": ("\ufeff", ("count", 1), " = ", ("x", 2)),
    "tabs": ("if ", ("x", 1), ":\n\t\t\t", ("count", 2), "\t=\t", ("x", 1)),
    "emoji before": ('s = "😀👩‍👩‍👧"; ', ("count", 1), "(", ("x", 2), ")"),
    "wide characters": (("名前", 1), "=", ("変数", 2), ".", ("名前", 1)),
    "decomposed letters": ("(", ("cafe\u0301", 1), ")+", ("e\u0301", 2)),
    "no-break space": ("x\u00a0=\u00a0", ("count", 1), "\u2003+ ", ("x", 2)),
}


@pytest.mark.parametrize("parts", TRAPS.values(), ids=TRAPS)
def test_alignment_in_traps(tokenizer, parts):
    text, identifiers = identifiers_at(*parts)
    [(_, ids)] = encode_with_identifiers([text], [identifiers], tokenizer)
    assert ids.tolist() == slow_alignment(spans_of(tokenizer, text), identifiers)
    check_that_masks_and_rest_make_the_text(tokenizer, text, identifiers)
    assert glued(spans_of(tokenizer, text), text, identifiers) == []


PROGRAM = "def 名前(größe, b):\n\ts = '😀 é'\n\t名前(größe, cafe\u0301=b)  # 名前\n\treturn s + b\n"


@pytest.mark.parametrize(
    "text", [PROGRAM, PROGRAM.replace("\n", "\r\n"), "\ufeff" + PROGRAM], ids=["LF", "CRLF", "BOM"]
)
def test_from_parser_to_tokens(tokenizer, text):
    """The parser counts bytes, the tokenizer characters: one offset wrong and the masks hold something else."""
    identifiers = find_identifiers(text, "python")
    assert [x.name for x in identifiers if x.name != "café"][:4] == ["名前", "größe", "b", "s"]
    check_that_masks_and_rest_make_the_text(tokenizer, text, identifiers)


def test_one_character_of_several_tokens_is_whole(tokenizer):
    """`名` is three tokens with one span; containment of the span in another token's would lose them."""
    text, identifiers = identifiers_at("f(", ("名", 1), ")")
    [(tokens, ids)] = encode_with_identifiers([text], [identifiers], tokenizer)
    assert tokenizer.decode(tokens[ids == 1]) == "名"
    assert (ids == 1).sum() == 3


def test_a_space_before_a_name_goes_with_it(tokenizer):
    """Its span is outside of the identifier: containment would miss this token."""
    text, identifiers = identifiers_at("return ", ("self", 1))
    [(tokens, ids)] = encode_with_identifiers([text], [identifiers], tokenizer)
    assert tokenizer.decode(tokens[ids == 1]) == " self"
    assert spans_of(tokenizer, text)[-1].tolist() == [6, 11]


def test_tokenizers_that_change_the_text_are_aligned_by_their_offsets(tokenizer, monkeypatch):
    text, identifiers = identifiers_at("RETURN ", ("Name", 1), "(名)")
    folding = train_tokenizer([text.lower()], vocab_size=300, model_max_length=64)
    folding.backend_tokenizer.normalizer = normalizers.Lowercase()
    [(tokens, ids)] = encode_with_identifiers([text], [identifiers], folding)
    assert folding.decode(tokens[ids == 1]).strip() == "name"
    # Not vacuous: other tokenizers take another way.
    monkeypatch.setattr(alignment, "_encode_by_offsets", lambda *_: pytest.fail("by offsets"))
    encode_with_identifiers([text], [identifiers], tokenizer)


def test_several_texts_special_tokens_and_nothing(tokenizer):
    texts = ["", "<mask> x <|endoftext|>", "y"]
    identifiers = [[], [Identifier(7, 8, "x", "variable", 1)], []]
    encoded = encode_with_identifiers(texts, identifiers, tokenizer)
    for text, (tokens, ids) in zip(texts, encoded, strict=True):
        assert tokenizer.decode(tokens) == text
        assert not set(tokens) & set(tokenizer.all_special_ids)  # neither text that looks like one, nor an end token
        assert tokens.shape == ids.shape
        assert tokens.dtype == ids.dtype == np.uint32
    assert encoded[0][0].size == 0
    assert encoded[1][1].sum() == 1
    assert encode_with_identifiers([], [], tokenizer) == []


def test_long_texts_are_not_truncated(tokenizer):
    """Not even when the call before has truncated, which changes the state of the inner tokenizer."""
    tokenizer("a b c d", truncation=True, max_length=2, padding="max_length")
    [(tokens, _)] = encode_with_identifiers([TEXTS[0]], [[]], tokenizer)
    assert tokenizer.decode(tokens) == TEXTS[0]


@pytest.mark.parametrize(
    ("identifiers", "message"),
    [
        ([(4, 5, 1), (0, 1, 2)], "sorted"),
        ([(0, 3, 1), (2, 5, 2)], "disjoint"),
        ([(3, 3, 1)], "not empty"),
        ([(0, 1, 0)], "ids from 1"),
    ],
)
def test_spans_that_are_none_are_refused(tokenizer, identifiers, message):
    found = [Identifier(start, end, "x", "variable", number) for start, end, number in identifiers]
    with pytest.raises(ValueError, match=message):
        encode_with_identifiers(["a b c d"], [found], tokenizer)


def test_every_text_needs_its_identifiers(tokenizer):
    with pytest.raises(ValueError, match="2 texts but identifiers of 1"):
        encode_with_identifiers(["a", "b"], [[]], tokenizer)
