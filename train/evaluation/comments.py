"""Code without its comments and with white space folded, as the paper's code-to-code search is measured.

Contract: `without_comments(text, language)` removes what the grammar of the language calls a comment, and in Python the
strings that stand alone as a statement, docstrings among them. The rest stays, in its order; every run of white space
becomes one space.

The authors' scripts do it by the tokenizer for Python, by one regular expression for `//` and `/* */` for other
languages, and not at all for Ruby. So this differs where a string holds `//`, for PHP's `#`, and for Ruby.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import tree_sitter
from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.tokenization.source import Source, Unparsable, parse

from ..retrieval.task import Task, Text


def without_comments(text: str, language: str) -> tuple[str, bool]:
    """Remove comments and fold white space.

    Args:
        text: code.
        language: its language; of one that is not in the table, and of code that cannot be parsed, comments stay.

    Returns:
        The text, and whether the comments could be removed.
    """
    if language not in LANGUAGES:
        return fold(text), False
    try:
        source = parse(text, language)
    except Unparsable:
        return fold(text), False
    kept, end = [], 0
    for node in sorted(_comments(source), key=lambda node: node.start_byte):
        kept.append((end, node.start_byte))
        end = node.end_byte
    return fold(" ".join(source.slices([*kept, (end, len(source.data))]))), True


def task_without_comments(task: Task) -> tuple[Task, dict[str, int]]:
    """Remove the comments of all code of a task; text in natural language is only folded.

    A text that is nothing but comments keeps them: a model cannot be shown nothing.

    Returns:
        The task, and how many texts in languages of the table could not be parsed, and how many documents are in
        languages that it lacks; their comments stay.
    """
    counts = {"unparsable": 0, "without_grammar": 0}

    @cache
    def bare(text: str, language: str) -> tuple[str, bool]:
        found, parsed = without_comments(text, language)
        return found or fold(text), parsed

    def texts(side: tuple[Text, ...], natural: frozenset[str]) -> Iterator[Text]:
        for each in side:
            found, parsed = bare(each.text, each.language)
            if not parsed and each.language not in natural:
                counts["unparsable" if each.language in LANGUAGES else "without_grammar"] += 1
            yield replace(each, text=found)

    natural = frozenset(query.language for query in task.queries) - {document.language for document in task.documents}
    documents = tuple(texts(task.documents, frozenset()))
    return replace(task, queries=tuple(texts(task.queries, natural)), documents=documents), counts


def fold(text: str) -> str:
    """Make every run of white space one space."""
    return " ".join(text.split())


def _comments(source: Source) -> Iterator[tree_sitter.Node]:
    """The outermost nodes that are comments, in no order."""
    has_docstrings = source.language.convention == "docstring"
    open_nodes = [source.tree.root_node]
    while open_nodes:
        node = open_nodes.pop()
        if node.type.endswith("comment") or (has_docstrings and _is_lone_string(node)):
            yield node
        elif node.child_count:
            open_nodes.extend(node.children)


def _is_lone_string(node: tree_sitter.Node) -> bool:
    return (
        node.type == "expression_statement"
        and node.child_count == 1
        and node.children[0].type in ("string", "concatenated_string")
    )
