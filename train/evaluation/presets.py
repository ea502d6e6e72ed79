"""The paper's protocols of search, as data: input lengths, comments, what is ranked, sizes and the metric reported.

Contract: `PRESETS` holds one row for each protocol (section 4 and appendix B of the paper, and the authors' evaluation
scripts). A row by its name makes a task be measured just so, and refuses one of another size. `preset="paper"` takes
for every task the row of its name or of its kind, for lengths and comments only: what is ranked stays as the set says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..retrieval.protocols import parts
from ..retrieval.task import CODE2CODE, Task

if TYPE_CHECKING:
    from .config import EvaluateConfig

Name = Literal["paper", "cosqa", "advtest", "codesearchnet", "code2code"]


@dataclass(frozen=True)
class Preset:
    """One protocol.

    Attributes:
        query_max_length: tokens of a query, cut beyond.
        document_max_length: tokens of a document, cut beyond.
        protocol: one of `tasks.PROTOCOLS`.
        metric: what the paper reports.
        remove_comments: measure code without comments, white space folded.
        exclude_self: a query's own document is left out.
        sizes: by part, queries with an answer and documents; a part that is not named may have any size.
    """

    query_max_length: int
    document_max_length: int
    protocol: str
    metric: str
    remove_comments: bool = False
    exclude_self: bool = False
    sizes: Mapping[str, tuple[int, int]] | None = None


TEXT, CODE = 128, 1024

PRESETS: Mapping[str, Preset] = {
    # The paper says 6,268 codes; the published file has 6,267.
    "cosqa": Preset(TEXT, CODE, "full", "mrr", sizes={"all": (500, 6_267)}),
    # The paper says 19,120; CodeXGLUE, which published the set, 19,210.
    "advtest": Preset(TEXT, CODE, "full", "mrr", sizes={"all": (19_210, 19_210)}),
    "codesearchnet": Preset(
        TEXT,
        CODE,
        "pairwise",
        "mrr",
        sizes={
            "en-python": (14_918, 43_827),
            "en-java": (10_955, 40_347),
            "en-javascript": (3_291, 13_981),
            "en-php": (14_014, 52_660),
            "en-go": (8_122, 28_120),
            "en-ruby": (1_261, 4_360),
        },
    ),
    # The sets of Java, Python and Ruby are published; those of the other six languages cannot be built again. 330, 271
    # and 304 problems have one solution only, which has no answer.
    "code2code": Preset(
        CODE,
        CODE,
        "same_language",
        "map",
        remove_comments=True,
        exclude_self=True,
        sizes={"java": (23_200, 23_530), "python": (15_323, 15_594), "ruby": (11_440, 11_744)},
    ),
}

_CALLED = {name: name for name in PRESETS} | {"csn": "codesearchnet"}


@dataclass(frozen=True)
class Treatment:
    """How the texts of a task are shown to a model.

    Attributes:
        query_max_length: tokens of a query; what the model was made for if None.
        document_max_length: tokens of a document; the same.
        may_be_less: whether a model that takes less is measured with what it takes, instead of being refused.
        remove_comments: show code without comments, white space folded.
    """

    query_max_length: int | None = None
    document_max_length: int | None = None
    may_be_less: bool = False
    remove_comments: bool = False


def treatment_of(task: Any, config: "EvaluateConfig") -> Treatment:
    """How a run shows the texts of a task: as its settings say, and where they say nothing, its preset.

    Texts of a task that is no search are documents.
    """
    query, document = config.query_max_length or config.max_length, config.max_length
    if config.preset is None:
        return Treatment(query, document, False, config.remove_comments)
    if not isinstance(task, Task):
        return Treatment(query or CODE, document or CODE, True, config.remove_comments)
    preset = preset_of(task) if config.preset == "paper" else PRESETS[config.preset]
    return Treatment(
        query or preset.query_max_length,
        document or preset.document_max_length,
        True,
        config.remove_comments or preset.remove_comments,
    )


def known_as(task: str) -> str | None:
    """The preset that a task's name stands for, None if it stands for none."""
    return _CALLED.get(re.sub(r"[^a-z0-9]", "", task.lower()))


def preset_of(task: Task) -> Preset:
    """The row of a task by its name, or by what is searched with: text or code."""
    if name := known_as(task.name):
        return PRESETS[name]
    return PRESETS["code2code" if task.kind == CODE2CODE else "cosqa"]


def with_preset(task: Task, name: str) -> Task:
    """The task under the protocol of a preset.

    Raises:
        ValueError: its size is not that of the preset, or it lacks the languages that the protocol needs.
    """
    preset = PRESETS[name]
    numbers = {document.id: number for number, document in enumerate(task.documents)}
    own = tuple(
        frozenset({numbers[query.id]} if preset.exclude_self and query.id in numbers else ()) for query in task.queries
    )
    task = replace(task, protocols=(preset.protocol,), own=own)
    if preset.protocol != "full" and not all(text.language for text in (*task.queries, *task.documents)):
        raise ValueError(f"task {task.name} does not say every text's language, which the preset {name} needs")
    for part in parts(task, preset.protocol):
        found, sizes = (len(part.queries), len(part.documents)), (preset.sizes or {}).get(part.name)
        if sizes and sizes != found:
            raise ValueError(
                f"the preset {name} is {sizes[0]:,} queries on {sizes[1]:,} documents ({part.name}), but task "
                f"{task.name} has {found[0]:,} and {found[1]:,}: get the published set, or give the preset paper"
            )
    return task
