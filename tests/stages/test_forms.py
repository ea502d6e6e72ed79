"""Other forms of a pair say the same in other words."""

import pytest
from open_codesage.train.stages.data.forms import as_question, without_identifiers

SEEDS = range(200)


def test_a_question_has_the_verb_in_plain_form_and_no_full_stop():
    texts = {as_question("Returns the index of a value.", "python", seed) for seed in SEEDS}
    assert "return the index of a value" in texts
    assert "python return index of value" in texts
    assert "how to return the index of a value in python" in texts
    assert len(texts) > 10
    assert not any("." in text or "Returns" in text for text in texts)


@pytest.mark.parametrize(
    ("summary", "plain"),
    [
        ("Applies `f` to (x)", "apply f to x"),
        ("Processes rows", "process rows"),
        ("Matches rows", "match rows"),
        ("get rows", "get rows"),
        ("Class of rows.", "Class of rows"),
    ],
)
def test_only_known_verbs_change(summary, plain):
    assert plain in {as_question(summary, "c", seed) for seed in SEEDS}


def test_only_verbs_stand_behind_how_to():
    assert not any(as_question("Class of rows.", "c", seed).startswith("how to") for seed in SEEDS)


def test_the_language_is_called_what_people_call_it():
    assert "golang get rows" in {as_question("Gets rows.", "go", seed) for seed in SEEDS}


def test_a_question_is_a_function_of_the_seed():
    assert as_question("Gets the rows.", "go", 3) == as_question("Gets the rows.", "go", 3)


def test_a_summary_without_words_stays():
    assert as_question("...", "go", 3) == "..."


def test_names_of_the_author_go_and_the_rest_stays():
    code = "def area(width, height):\n    size = width * height\n    return max(size, 0)  # never negative"
    expected = "def v0(v1, v2):\n    v3 = v1 * v2\n    return max(v3, 0)  # never negative"
    assert without_identifiers(code, "python") == expected


def test_what_can_not_be_parsed_stays():
    assert without_identifiers("}}} ((( {{{ ))) def", "python") == "}}} ((( {{{ ))) def"
