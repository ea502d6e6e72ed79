"""Which files are searched, by their names: languages with a grammar, other languages, templates, prose.

Languages with a grammar are those of `tokenization.languages`; the others are known by name only, and are cut without
one. Files that hold data (JSON, YAML, XML, CSV …) are of no language: what is asked of code is not in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from open_codesage.tokenization.languages import LANGUAGES, language_of_path

PROSE = "prose"
"""The language of documents, which are searched only if it is asked for."""

TELLING_BYTES = 65_536
"""What is read of a file to tell its language, where its name does not."""

_PLAIN = {
    "assembly": ".asm .s",
    "astro": ".astro",
    "awk": ".awk",
    "batch": ".bat .cmd",
    "clojure": ".clj .cljc .cljs .edn",
    "cmake": ".cmake",
    "crystal": ".cr",
    "css": ".css .less .sass .scss",
    "cuda": ".cu .cuh",
    "cython": ".pxd .pxi .pyx",
    "d": ".d",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "elm": ".elm",
    "erlang": ".erl .hrl",
    "fortran": ".f .f90 .f95 .f03 .for",
    "fsharp": ".fs .fsi .fsx",
    "gleam": ".gleam",
    "glsl": ".comp .frag .glsl .hlsl .metal .vert .wgsl",
    "graphql": ".gql .graphql",
    "groovy": ".gradle .groovy",
    "haskell": ".hs .lhs",
    "hcl": ".hcl .tf",
    "html": ".htm .html .xhtml",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lisp": ".cl .el .lisp .lsp .rkt .scm",
    "lua": ".lua",
    "make": ".mak .mk",
    "matlab": ".m",
    "nim": ".nim .nims",
    "nix": ".nix",
    "objective-cpp": ".mm",
    "ocaml": ".ml .mli",
    "pascal": ".dpr .pas .pp",
    "perl": ".pl .pm .t",
    "powershell": ".ps1 .psm1",
    "prisma": ".prisma",
    "prolog": ".pro",
    "protobuf": ".proto",
    "r": ".r",
    "rust": ".rs",
    "scala": ".sbt .sc .scala",
    "shell": ".bash .fish .ksh .sh .zsh",
    "solidity": ".sol",
    "sql": ".pgsql .psql .sql",
    "svelte": ".svelte",
    "swift": ".swift",
    "tcl": ".tcl",
    "template": ".ejs .erb .gotmpl .haml .handlebars .hbs .j2 .jinja .jinja2 .liquid .mako .mustache .njk .pug .slim"
    " .tmpl .tpl .tt .twig",
    "thrift": ".thrift",
    "v": ".v .vh .sv",
    "vb": ".bas .vb .vbs",
    "vhdl": ".vhd .vhdl",
    "vim": ".vim",
    "vue": ".vue",
    "web-page": ".aspx .cshtml .jsp .razor .vbhtml",
    "zig": ".zig",
    PROSE: ".adoc .asciidoc .markdown .md .mdx .org .rst .tex .txt .wiki",
}
_BY_EXTENSION = {extension: name for name, extensions in _PLAIN.items() for extension in extensions.split()}
_BY_NAME = {
    "build": "python",  # Bazel, in a dialect of Python
    "build.bazel": "python",
    "cmakelists.txt": "cmake",
    "containerfile": "docker",
    "dockerfile": "docker",
    "gemfile": "ruby",
    "gnumakefile": "make",
    "jenkinsfile": "groovy",
    "justfile": "make",
    "makefile": "make",
    "podfile": "ruby",
    "rakefile": "ruby",
    "sconstruct": "python",
    "vagrantfile": "ruby",
    "workspace": "python",
}
_SHEBANG = re.compile(r"#!\s*\S*?(?:env\s+(?:-\S+\s+)*)?([\w+-]+?)[\d.]*(?:\s|$)")
_BY_INTERPRETER = {
    "bash": "shell",
    "dash": "shell",
    "deno": "typescript",
    "elixir": "elixir",
    "escript": "erlang",
    "fish": "shell",
    "groovy": "groovy",
    "julia": "julia",
    "ksh": "shell",
    "lua": "lua",
    "node": "javascript",
    "perl": "perl",
    "php": "php",
    "pwsh": "powershell",
    "python": "python",
    "Rscript": "r",
    "ruby": "ruby",
    "sh": "shell",
    "tclsh": "tcl",
    "zsh": "shell",
}

NAMES = sorted({*LANGUAGES, *_PLAIN, *_BY_NAME.values()})
"""The languages that are searched."""


def may_have_language(name: str) -> bool:
    """Whether a file of a name may be of a language: without an extension, its first line has to tell."""
    return "." not in name.lstrip(".") or language_of(name) is not None


def language_of(name: str, text: Callable[[], str] | None = None) -> str | None:
    """The language of a file, None for none.

    Args:
        name: the file's name, without its folders.
        text: gives its text, or the beginning; without it, what only the text tells is not told.
    """
    if language := _BY_NAME.get(name.lower()):
        return language
    if language := language_of_path(name, text):
        return language
    extension = PurePosixPath(name).suffix
    if extension:
        return _BY_EXTENSION.get(extension.lower())
    if name.lower().startswith(("dockerfile.", "makefile.")):
        return _BY_NAME[name.lower().partition(".")[0]]
    match = _SHEBANG.match(text()) if text is not None else None
    return _BY_INTERPRETER.get(match[1]) if match else None
