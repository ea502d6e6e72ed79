"""JSON and YAML of strangers: refused in one line, in bounded time and memory, whatever they unfold to."""

import json

import pytest
from open_codesage.train.common.config import ConfigError, read_recipe
from open_codesage.train.common.untrusted import brief, parse_yaml, read_json, read_metadata, read_yaml

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED = {
    "billion laughs": (LAUGHS, "unfolds"),
    "laughs of mappings": (
        "a: &a {x: 1, y: 2}\n"
        + "".join(
            f"{name}: &{name} {{{', '.join(f'k{i}: *{before}' for i in range(9))}}}\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "unfolds",
    ),
    "laughs of merges": (
        "a: &a {x: 1}\n"
        + "".join(
            f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "unfolds",
    ),
    "long text often": (f"a: &a {'x' * 9000}\nb: [{', '.join(['*a'] * 900)}]\n", "unfolds"),
    "list in itself": ("a: &a [*a]", "refers to itself"),
    "mapping in itself": ("&a {x: {y: *a}}", "refers to itself"),
    "key in itself": ("&a {? [*a] : 1}", "refers to itself"),
    "merge of itself": ("&a {<<: *a, x: 1}", "refers to itself"),
    "deep flow": ("[" * 5000, "nested too deeply"),
    "deep mappings": ("{a: " * 5000, "nested too deeply"),
    "deep block": ("- " * 5000, "nested too deeply"),
    "deep by aliases": (
        "".join(f"a{i}: &a{i} [*a{i - 1}]\n" if i else "a0: &a0 [x]\n" for i in range(100)),
        "nested too deeply",
    ),
    "object": ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
    "digits": ("a: " + "9" * 5000, "does not fit its type"),
    "empty number": ('a: !!int ""', "does not fit its type"),
    "no date": ("a: 2026-13-45", "does not fit its type"),
    "no boolean": ("a: !!bool x", "does not fit its type"),
    "control": ("a: \x00", "unacceptable character"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_yaml_without_bounds_is_refused_in_one_line(case, tmp_path):
    text, message = REFUSED[case]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_recipe(recipe)
    assert str(recipe) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_anchors_that_stay_small_are_welcome(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("base: &b {steps: 1, seed: 2}\none: {<<: *b, steps: 3}\ntwo: [*b, *b]\n")
    base = {"steps": 1, "seed": 2}
    assert read_recipe(recipe) == {"base": base, "one": {"steps": 3, "seed": 2}, "two": [base, base]}


def test_a_long_file_is_not_read_to_its_end(tmp_path):
    (tmp_path / "long.yaml").write_text("a: " + "x" * (2 << 20))
    with pytest.raises(ValueError, match="is longer than"):
        read_yaml(tmp_path / "long.yaml")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (f"---\n{LAUGHS}---\n", "unfolds"),
        ("---\na: &a [*a]\n---\n", "refers to itself"),
        ("---\n- list\n---\n", "instead of a mapping"),
        ("---\na: [\n---\n", "is not YAML"),
        ("x" * (5 << 20), "is longer than"),
    ],
)
def test_metadata_of_a_card_are_bounded(card, message, tmp_path):
    (tmp_path / "README.md").write_text(card)
    with pytest.raises(ValueError, match=message):
        read_metadata(tmp_path / "README.md")


def test_metadata_of_a_card_are_its_first_block(tmp_path):
    path = tmp_path / "README.md"
    for card, found in (
        ("---\nlicense: mit\n---\n# A\n---\nb: 1\n---\n", {"license": "mit"}),
        ("\n---\nlicense: mit\n---", {"license": "mit"}),
        ("# A card\n---\na: 1\n---\n", {}),
        ("---\n" + "\n" * 200_000, {}),
        ("", {}),
    ):
        path.write_text(card)
        assert read_metadata(path) == found


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 99 + "1" + "}" * 99, '{"a": ' + "9" * 5000 + "}", "{", "\udcff"],
)
def test_json_is_bounded(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"a\.json is (?:not JSON|nested too deeply)"):
        read_json(path)
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path) == {"a": [1]}


def test_values_are_shown_short():
    assert len(brief(["x" * 10**6] * 1000)) < 200
    assert brief(int("9" * 4000) * 10**4000)
    assert parse_yaml("a: 1") == {"a": 1}
