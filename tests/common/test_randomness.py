"""What is drawn by a name: the same in every process and version, and even."""

from open_codesage.train.common.randomness import draw


def test_draws_are_those_of_the_corpora_that_were_made_so():
    assert draw("src/a.py") == int.from_bytes(bytes.fromhex("b4e077db6334a124"))
    assert draw("0\0src/a.py", 64).to_bytes(64).hex().startswith("4f10b5d38a57c6b9")
    assert draw("\ud800") == draw("?")  # of what no encoding has


def test_a_share_is_taken_evenly():
    taken = sum(draw(f"unit {number}") < 0.25 * 2**64 for number in range(10_000))
    assert abs(taken - 2500) < 4 * (10_000 * 0.25 * 0.75) ** 0.5
