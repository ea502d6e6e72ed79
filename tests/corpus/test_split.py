"""Units are whole modules or packages; the choice of those held out is reproducible and leaves enough to train on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_codesage.train.corpus.split import LARGEST_UNIT, choose_held_out, tree_units


def test_packages_side_by_side_are_one_unit_each():
    sizes = {f"src/package{i}/{module}.py": 10 for i in range(25) for module in ("a", "sub/b")}
    units = tree_units(sizes)
    assert set(units.values()) == {f"src/package{i}" for i in range(25)}
    assert units["src/package3/sub/b.py"] == units["src/package3/a.py"] == "src/package3"


def test_a_flat_folder_gives_a_unit_per_module():
    sizes = {f"lib/module{i}.py": 10 for i in range(30)}
    assert tree_units(sizes) == {path: path for path in sizes}


def test_a_large_package_is_taken_apart_and_a_small_one_beside_it_is_not():
    sizes = {f"lib/large/part{i}/{name}.py": 20 for i in range(20) for name in "ab"}
    sizes |= {"lib/large/huge.py": 200, "lib/small/a.py": 5, "lib/small/b.py": 5}
    units = tree_units(sizes)
    assert units["lib/large/part7/a.py"] == units["lib/large/part7/b.py"] == "lib/large/part7"
    assert units["lib/large/huge.py"] == "lib/large/huge.py"
    assert units["lib/small/a.py"] == units["lib/small/b.py"] == "lib/small"


def test_several_sources_are_units_when_they_are_small():
    sizes = {f"root{i}/a/b.py": 1 for i in range(40)}
    assert set(tree_units(sizes).values()) == {f"root{i}" for i in range(40)}


paths = st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map("/".join)


@given(st.dictionaries(paths.map(lambda path: f"{path}.py"), st.integers(0, 1000), max_size=60))
def test_units_never_lie_inside_each_other(sizes):
    units = tree_units(sizes)
    assert units.keys() == sizes.keys()
    for path, unit in units.items():
        assert path == unit or path.startswith(f"{unit}/")
        weight = sum(size for other, size in sizes.items() if other.startswith(f"{unit}/"))
        assert path == unit or weight <= LARGEST_UNIT * sum(sizes.values())
    distinct = set(units.values())
    assert not any(a != b and b.startswith(f"{a}/") for a in distinct for b in distinct)


PAIRS = {f"module{i}": i % 7 for i in range(1000)}


def test_the_share_and_the_minimum_are_both_reached():
    total = sum(PAIRS.values())
    by_share = choose_held_out(PAIRS, share=0.3, minimum=10, seed=0)
    assert 0.3 * total <= by_share.pairs <= 0.3 * total + 7
    by_minimum = choose_held_out(PAIRS, share=0.01, minimum=500, seed=0)
    assert 500 <= by_minimum.pairs <= 507
    assert by_minimum.pairs == sum(PAIRS[unit] for unit in by_minimum.units)


def test_the_choice_depends_on_the_seed_and_nothing_else():
    chosen = choose_held_out(PAIRS, 0.1, 1, seed=3)
    assert chosen == choose_held_out(dict(reversed(PAIRS.items())), 0.1, 1, seed=3)
    assert chosen.units != choose_held_out(PAIRS, 0.1, 1, seed=4).units
    # More modules change little: a unit's place in the order is its own.
    more = choose_held_out({**PAIRS, "another": 3}, 0.1, 1, seed=3)
    assert len(set(chosen.units) & set(more.units)) >= len(chosen.units) - 5


def test_the_minimum_is_capped_in_a_small_corpus():
    small = {f"module{i}": 5 for i in range(20)}
    assert choose_held_out(small, 0.01, 500, 0).wanted == 20
    assert choose_held_out(small, 0.01, 500, 0).pairs == 20


def test_a_unit_with_most_of_the_pairs_stays_in_training():
    lopsided = {"giant": 1000, "a": 10, "b": 10}
    for seed in range(10):
        assert "giant" not in choose_held_out(lopsided, 0.5, 500, seed).units


@pytest.mark.parametrize("pairs", [{}, {"only": 100}, {"a": 0, "b": 0}, {"a": 1, "b": 0}])
def test_too_few_pairs_are_an_error_with_a_remedy(pairs):
    with pytest.raises(ValueError, match="too few to hold some out: give more source code"):
        choose_held_out(pairs, 0.1, 500, 0)
