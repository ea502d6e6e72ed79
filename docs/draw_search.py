"""Draws what `search` prints, as docs/search.svg: python docs/draw_search.py QUERY PATH > docs/search.svg.

Run it in the folder that holds PATH; the lines are those of the command, with the colors that a terminal shows.
"""

import re
import subprocess
import sys
from html import escape

from pygments.lexers import get_lexer_for_filename
from pygments.token import Token

COLUMNS, LINE, LEFT, TOP = 92, 19, 20, 52
COLORS = {
    Token.Keyword: "#cf8ef4",
    Token.Literal.String: "#a5d6a7",
    Token.Comment: "#8b98a9",
    Token.Name.Function: "#82b1ff",
}


def main(query: str, path: str) -> str:
    """Search, and draw the results."""
    command = ["open-codesage", "search", query, path, "--limit", "3", "--context", "5"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()
    typed = f'open-codesage search "{query}" {path} --limit 3 --context 5'
    shown = [f'<tspan fill="#8b98a9">$</tspan> {escape(typed)}', ""]
    file = ""
    for line in printed.splitlines():
        if found := re.match(r"(\S+:\d+): (.*)", line):
            file = found[1].rpartition(":")[0]
            shown.append(f'<tspan fill="#ffd54f">{escape(found[1])}</tspan>: {colored(found[2], file)}')
        elif found := re.match(r"( *\d+)(.*)", line):
            shown.append(f'<tspan fill="#5c6773">{found[1]}</tspan>{colored(found[2], file)}')
        else:
            shown.append("")
    return drawing(shown)


def colored(code: str, file: str) -> str:
    """One line of code, its tokens in colors."""
    blanks = len(code) - len(code.lstrip())
    text = code[: COLUMNS - 8] + ("…" if len(code) > COLUMNS - 8 else "")
    pieces = []
    for kind, value in get_lexer_for_filename(file, stripall=False).get_tokens(text.lstrip()):
        color = next((color for parent, color in COLORS.items() if kind in parent), None)
        written = escape(value.rstrip("\n"))
        pieces.append(f'<tspan fill="{color}">{written}</tspan>' if color and written else written)
    return " " * blanks + "".join(pieces)


def drawing(lines: list[str]) -> str:
    """A terminal window with some lines."""
    width, height = LEFT * 2 + round(COLUMNS * 7.83), TOP + LINE * len(lines)
    buttons = "".join(
        f'<circle cx="{LEFT + 2 + 18 * n}" cy="20" r="6" fill="{color}"/>'
        for n, color in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    rows = "\n".join(
        f'<text x="{LEFT}" y="{TOP + LINE * n}" xml:space="preserve">{line}</text>'
        for n, line in enumerate(lines)
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="13" fill="#e6edf3">\n'
        "<title>What open-codesage search prints: places, signatures and the first lines of the code</title>\n"
        f'<rect width="{width}" height="{height}" rx="9" fill="#161b22"/>{buttons}\n{rows}\n</svg>\n'
    )


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:3]))
