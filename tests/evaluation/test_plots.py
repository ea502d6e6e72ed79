"""Plots show the figures of the record, each where it belongs, and gaps where there are none."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
from open_codesage.train.evaluation import plots

MODELS = ("bm25", "ours")
LANGUAGES = ("c", "emacs-lisp", "go")


def rows(task, protocol, figures):
    """Rows of figures by part; the part `all`, and figures that follow from the model's number, come with them."""
    return [
        {"model": model, "task": task, "protocol": protocol, "part": part, "metric": metric, "value": value + number}
        for number, model in enumerate(MODELS)
        for part, metrics in ({"all": {"mrr": 50.0, "map": 40.0}} | figures).items()
        for metric, value in metrics.items()
    ]


@pytest.fixture(scope="module")
def results():
    recall = {f"recall@{depth}": float(depth) / 2 for depth in (1, 5, 10, 50, 100)}
    pairs = {
        f"{source}-{target}": {"mrr": 0.0, "map": 10.0 * i + j}
        for i, source in enumerate(LANGUAGES, start=1)
        for j, target in enumerate(LANGUAGES)
    }
    del pairs["c-go"]
    return {
        "models": {model: {} for model in MODELS},
        "tasks": {
            "xlang": {"kind": "code2code"},
            "user/search": {"kind": "nl2code"},
            "words": {"kind": ""},
            "classes": {"layout": "classification"},
        },
        "rows": [
            *rows("xlang", "pairwise", pairs),
            *rows("user/search", "pairwise", {f"en-{name}": {"mrr": 7.0 * n} for n, name in enumerate(LANGUAGES)}),
            *rows("words", "full", {"all": recall}),
            *rows("words", "same_language", {"go": {"mrr": 3.0}, "c": {"mrr": 4.0}}),
            *rows("classes", "linear", {"all": {"macro_f1": 1.0}}),
        ],
        "cosines": [
            {
                "model": "ours",
                "task": "words",
                "bins": [-1, 0, 1],
                "parallel": [1, 3],
                "random": [30, 10],
                "parallel_mean": 0.3,
                "random_mean": -0.1,
            },
            {
                "model": "bm25",
                "task": "words",
                "bins": [-1, 0, 1],
                "parallel": [1, 1],
                "random": [0, 0],
                "parallel_mean": 0.0,
                "random_mean": None,
            },
        ],
    }


@pytest.fixture(scope="module")
def drawn(results, tmp_path_factory):
    """The figures that are saved, by file name, as matplotlib holds them."""
    figures, save, folder = {}, plots.save, tmp_path_factory.mktemp("plots")

    def keep(figure, path):
        figures[path.name] = figure
        return save(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", keep)
        files = plots.write(results, folder)
    assert [file.name for file in files] == list(figures)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert {file.name for file in folder.iterdir()} == set(figures)
    return figures


def bars(figure):
    """Heights by model and group, read off the drawing."""
    axes = figure.axes[0]
    groups = [label.get_text() for label in axes.get_xticklabels()]
    return {
        container.get_label(): dict(zip(groups, [bar.get_height() for bar in container], strict=True))
        for container in axes.containers
    }


def test_there_is_a_plot_of_each_kind_where_there_are_figures(drawn):
    assert list(drawn) == [
        "languages-xlang.png",
        "pairs-xlang.png",
        "languages-user-search.png",
        "languages-words.png",
        "cosines-words.png",
        "recall.png",
    ]


def test_bars_are_the_figures_of_their_language_and_model(drawn):
    search = {"c": 0.0, "emacs-lisp": 7.0, "go": 14.0}
    assert bars(drawn["languages-user-search.png"]) == {
        "bm25": search,
        "ours": {name: value + 1 for name, value in search.items()},
    }
    assert bars(drawn["languages-words.png"]) == {"bm25": {"go": 3.0, "c": 4.0}, "ours": {"go": 4.0, "c": 5.0}}
    # MAP, of the pairs within a language.
    assert bars(drawn["languages-xlang.png"])["bm25"] == {"c": 10.0, "emacs-lisp": 21.0, "go": 32.0}


def test_a_heat_map_has_queries_in_rows_documents_in_columns_and_a_gap(drawn):
    panels = [axes for axes in drawn["pairs-xlang.png"].axes if axes.images]
    assert [panel.get_title() for panel in panels] == ["bm25, mean 40.0", "ours, mean 41.0"]
    for number, panel in enumerate(panels):
        assert tuple(label.get_text() for label in panel.get_yticklabels()) == LANGUAGES
        assert {label.get_text() for label in panel.get_xticklabels()} == set(LANGUAGES)
        columns = [label.get_text() for label in panel.get_xticklabels()]
        grid = np.ma.filled(panel.images[0].get_array(), np.nan)[:, [columns.index(name) for name in LANGUAGES]]
        expected = np.array([[10, 11, np.nan], [20, 21, 22], [30, 31, 32]]) + number
        np.testing.assert_array_equal(grid, expected)
    # One scale, so that colours can be compared.
    assert len({panel.images[0].get_clim() for panel in panels}) == 1


def test_recall_grows_with_depth_in_one_panel_for_task_and_protocol(drawn):
    (axes,) = drawn["recall.png"].axes
    assert axes.get_title() == "words, full"
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    points = [[1, 0.5], [5, 2.5], [10, 5], [50, 25], [100, 50]]
    assert lines == {"bm25": points, "ours": [[depth, value + 1] for depth, value in points]}


def test_cosines_are_shares_of_either_kind_of_pairs(drawn):
    axes, alone = drawn["cosines-words.png"].axes
    heights = {patch.get_label(): patch.get_data().values.tolist() for patch in axes.patches}
    assert heights == {"parallel pairs": [25.0, 75.0], "random pairs": [75.0, 25.0]}
    assert [line.get_xdata()[0] for line in axes.lines] == [0.3, -0.1]
    assert axes.get_title() == "ours: means 0.40 apart"
    assert alone.get_title() == "bm25"
    assert len(alone.lines) == 1


def test_languages_may_have_hyphens():
    assert plots.pairs_of(["a-b-a-b", "a-b-c", "c-a-b", "c-c"]) == {
        "a-b-a-b": ("a-b", "a-b"),
        "a-b-c": ("a-b", "c"),
        "c-a-b": ("c", "a-b"),
        "c-c": ("c", "c"),
    }
    assert plots.pairs_of(["en-go", "en-emacs-lisp"])["en-emacs-lisp"] == ("en", "emacs-lisp")


def test_nothing_is_drawn_of_no_figures(tmp_path):
    assert plots.write({"models": {}, "tasks": {"a": {}}, "rows": []}, tmp_path) == []


def test_matplotlib_is_named_where_it_lacks_and_loaded_only_to_draw(results, tmp_path, monkeypatch):
    code = "import sys, open_codesage.train.evaluation.plots; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    there = builtins.__import__

    def without(name, *arguments, **options):
        if name == "matplotlib":
            raise ImportError(name)
        return there(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match="pip install"):
        plots.write(results, tmp_path)
