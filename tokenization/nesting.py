"""The innermost of nested spans at a position (syntax nodes are nested or apart, never crossing)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from functools import cached_property

OUTSIDE = -1


class Nesting:
    """A forest of spans, put in order when it is first asked: most are never."""

    def __init__(self, spans: Collection[tuple[int, int]]) -> None:
        self._given = spans

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Distinct spans (start, end), end exclusive, outer before inner."""
        return sorted(set(self._given), key=lambda span: (span[0], -span[1]))

    @cached_property
    def parents(self) -> list[int]:
        """For each span the index of the smallest span around it, `OUTSIDE` for an outermost one."""
        parents: list[int] = []
        around: list[int] = []
        for index, (start, _) in enumerate(self.spans):
            while around and self.spans[around[-1]][1] <= start:
                around.pop()
            parents.append(around[-1] if around else OUTSIDE)
            around.append(index)
        return parents

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self.spans]

    def innermost(self, position: int) -> int:
        """Index of the innermost span that holds the position, `OUTSIDE` if none does."""
        index = bisect_right(self._starts, position) - 1
        while index != OUTSIDE and self.spans[index][1] <= position:
            index = self.parents[index]
        return index
