"""Figures of the paper and of the card of version 2, to stand beside what is measured under the same protocol.

Contract: `published(task, protocol, part, metric, sizes)` gives figures only where preset, part, metric and the numbers
of queries and documents are those of `presets.PRESETS`. The same for CoSQA holds of lengths and comments if the run
took the preset's, which the caller tells.

Sources: UniXcoder and version 1 of CodeSage: tables 1, 2, 8 and 9 of arXiv 2402.01935; version 2: the authors' page
"CodeSage-V2" and model cards. All in percent, zero-shot.
"""

from collections.abc import Mapping

from .presets import PRESETS, known_as

UNIXCODER, SMALL, BASE, LARGE = "UniXcoder", "CodeSage small", "CodeSage base", "CodeSage large"
SMALL_2, BASE_2, LARGE_2 = "CodeSage small v2", "CodeSage base v2", "CodeSage large v2"
MODELS = (UNIXCODER, SMALL, BASE, LARGE, SMALL_2, BASE_2, LARGE_2)

# By preset and part, in the order of MODELS. MRR, of code2code MAP.
FIGURES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "cosqa": {"all": (42.11, 49.92, 48.50, 47.53, 52.39, 50.74, 53.18)},
    "advtest": {"all": (27.32, 41.28, 49.08, 52.67, 47.28, 52.00, 56.31)},
    "codesearchnet": {
        "en-python": (42.17, 64.38, 67.99, 70.77, 68.79, 70.46, 74.18),
        "en-java": (43.92, 63.19, 68.02, 70.21, 68.13, 70.89, 72.33),
        "en-javascript": (40.46, 60.01, 66.95, 69.50, 65.77, 69.61, 72.49),
        "en-php": (35.21, 54.71, 58.15, 61.33, 60.20, 62.81, 65.26),
        "en-go": (61.39, 77.66, 83.21, 83.71, 80.26, 82.37, 84.67),
        "en-ruby": (55.22, 63.20, 68.00, 71.92, 72.46, 73.71, 76.61),
    },
    "code2code": {
        "python": (30.77, 36.31, 47.52, 46.70, 45.60, 55.86, 61.11),
        "java": (16.45, 23.97, 22.84, 33.13, 33.65, 42.89, 47.09),
        "ruby": (32.33, 29.06, 44.86, 54.12, 40.12, 56.02, 60.74),
    },
}


def published(
    task: str, protocol: str, part: str, metric: str, sizes: tuple[int, int], comments_removed: bool = False
) -> dict[str, float]:
    """Published figures under the same protocol, by model; none if there are none.

    Args:
        task: name of the task.
        protocol: one of `tasks.PROTOCOLS`.
        part: a language, a pair of them, or `all`.
        metric: such as `mrr`.
        sizes: numbers of queries and documents that were measured.
        comments_removed: whether code was measured without comments.
    """
    name = known_as(task)
    if name is None:
        return {}
    preset = PRESETS[name]
    agrees = (
        preset.protocol == protocol
        and preset.metric == metric
        and preset.remove_comments == comments_removed
        and (preset.sizes or {}).get(part) == sizes
    )
    return dict(zip(MODELS, FIGURES[name].get(part, ()), strict=False)) if agrees else {}
