"""The table of languages: everything that is known of a language apart from its queries and its builtins.

One row per language. The rest of a language is data in `queries/<name>/`: `identifiers.scm` (which nodes are names, and
what they bind), `functions.scm` (which nodes are functions, documentation and returns) and `builtins.txt` (names that
belong to the language and its standard objects). No other module knows any language by name.

This module imports no grammar: a grammar is loaded by the first text of its language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from .unreadable import blank_attributes, blank_nested_heredocs


@dataclass(frozen=True)
class Grammar:
    """One tree-sitter grammar of a language.

    Attributes:
        module: Python module of the grammar's wheel.
        function: The function of that module which returns the grammar.
        marker: The grammar applies only to texts that contain this string.
        queries: Folders in `queries/` whose files make up its queries, for a dialect or for what languages share; the
            folder of the language's name if none is named. A folder need not have every file.
    """

    module: str
    function: str = "language"
    marker: str = ""
    queries: tuple[str, ...] = ()


# Rows of a table are told apart by identity, whose hash costs nothing.
@dataclass(frozen=True, eq=False)
class Language:
    """One row of the table.

    Attributes:
        name: The language's name, also the folder's name in `queries/`.
        aliases: Other spellings, in lower case (The Stack's `lang` values among them).
        extensions: File name extensions, in lower case, with their dot.
        shared_extensions: Extensions of another language that files of this one have as well.
        telling: Pattern that a text with a shared extension holds if it is of this language.
        grammars: Grammars in order of preference. Of those that apply, the one that reads the text with the least
            syntax errors is taken, the first where it makes no difference.
        convention: Key of `documentation.CONVENTIONS`.
        documentation: Pattern at the start of a comment that makes it documentation of the function below it. None
            where no comment is (Python: the docstring stands in the body and is told by the query).
        marked: Pattern of a comment that is documentation by its form, wherever it stands. None where no form tells.
        line_comment: Start of a comment that ends with its line; such comments on successive lines are one. Empty where
            only block comments document.
        distant_documentation: What makes documentation that of the function below it, although a blank line stands
            between them. None where it never is: over a gap a comment may belong to anything.
        special_methods: Names of constructors and of methods that every class may have, whole.
        braces: Whether a block body stands in braces (they are no part of the hard positive).
        separators: Strings between an object and its member.
        transparent: Names of the language behind which a member is not one of the language: `open` in
            `Shop.prototype.open`.
        sigils: Characters in front of a name that are part of its node but not of the name.
        symbol: The one of them that makes no other name of it: Ruby's `:name` is the name itself, `@name` a variable.
        type_name: Pattern of a plain name that stands in the place of a type, by its spelling alone.
        blank: The name that binds nothing, if the language has one.
        import_suffix: What may stand at the end of an import's path behind the name that the import binds.
        calls_ignore_case: Whether a function may be called by its name in any case.
        readable: Blanks out what the grammar cannot read although the language allows it.
        error_share: Largest share of a text that may lie in ERROR nodes while its identifiers are still trusted. Above
            zero, a function with an error in it is kept when its braces balance.
        ambiguous: Pattern of a run of `*` which the grammar reads in several ways, each of which it keeps until the end
            of the run: memory grows with the square of its length. See `source.Limits.ambiguous`.
    """

    name: str
    extensions: tuple[str, ...]
    grammars: tuple[Grammar, ...]
    convention: str
    aliases: tuple[str, ...] = ()
    shared_extensions: tuple[str, ...] = ()
    telling: re.Pattern[str] | None = None
    documentation: re.Pattern[str] | None = None
    marked: re.Pattern[bytes] | None = None
    line_comment: str = ""
    distant_documentation: re.Pattern[str] | None = None
    special_methods: re.Pattern[str] | None = None
    braces: bool = True
    separators: frozenset[str] = field(default=frozenset({"."}))
    transparent: frozenset[str] = frozenset()
    sigils: str = ""
    symbol: str = ""
    type_name: re.Pattern[str] | None = None
    blank: str = ""
    import_suffix: re.Pattern[str] | None = None
    calls_ignore_case: bool = False
    readable: Callable[[bytes], bytes] | None = None
    error_share: float = 0.0
    ambiguous: re.Pattern[str] | None = None


# A tag that says what is documented here, if it is no function (or one that is called with `new`); some say so only
# where no other one speaks of a function. What belongs to a @module, or fires an @event, is documented right above it.
_JSDOC = re.compile(
    r"/\*\*(?![*/])(?!(?s:.)*?[\s*]@(?:callback|class|constructor|file|fileoverview|interface|license|overview"
    r"|packageDocumentation|record|typedef)\b)"
    r"(?:(?=(?s:.)*?[\s*]@(?:api|func|function|method|param|returns?)\b)"
    r"|(?!(?s:.)*?[\s*]@(?:attribute|config|enum|external|mixin|namespace)\b))"
)
_JSDOC_OF_A_FUNCTION = re.compile(r"\A(?!(?s:.)*?[\s*]@(?:event|module)\b)(?s:.)*?[\s*]@(?:api|param|returns?)\b")

_DOXYGEN_MARK = re.compile(rb"/\*(?:\*(?![*/])|!)|//(?:/(?!/)|!)")
_JAVADOC_MARK = re.compile(rb"/\*\*(?![*/])")
# A cast is a type, no documentation: /** @type {Element} */ (node)
_JSDOC_MARK = re.compile(rb"/\*\*(?![*/])(?!\s*@(?:satisfies|type)\b)")
_SLASHES_MARK = re.compile(rb"///(?!/)|/\*\*(?![*/])")

# A comment above a function, not one that goes on from what stands above it.
_DOXYGEN = re.compile(r"/(?:/(?![/!]?<)|\*(?![*!]?<))")

_ROWS = (
    Language(
        name="c",
        extensions=(".c", ".h"),
        grammars=(Grammar("tree_sitter_c"),),
        convention="doxygen",
        documentation=_DOXYGEN,
        marked=_DOXYGEN_MARK,
        line_comment="//",
        special_methods=re.compile(r"main|yy\w+"),
        separators=frozenset({".", "->"}),
        readable=blank_attributes,
        error_share=0.02,
    ),
    Language(
        name="cpp",
        aliases=("c++", "cplusplus"),
        extensions=(".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".inl", ".ipp", ".tcc", ".tpp"),
        shared_extensions=(".h",),
        telling=re.compile(
            r"^[ \t]*(?:class[ \t]+(?:\w+[ \t]+)*\w+[ \t]*(?:[:{;]|$)|template[ \t]*<|#[ \t]*include[ \t]*<\w+>"
            r"|(?:inline[ \t]+)?namespace(?:[ \t]+[\w:]+)?[ \t]*(?:\{|$)|using[ \t]+(?:namespace\b|\w+[ \t]*=|\w*::)"
            r"|(?:public|private|protected)(?:[ \t]+\w+)?[ \t]*:(?!:))",
            re.MULTILINE,
        ),
        grammars=(Grammar("tree_sitter_cpp", queries=("c", "cpp")),),
        convention="doxygen",
        documentation=_DOXYGEN,
        marked=_DOXYGEN_MARK,
        line_comment="//",
        special_methods=re.compile(
            r"main|yy\w+|begin|end|swap|[cC]lone|[tT]oString|(?:SetUp|TearDown)(?:TestSuite|TestCase)?"
        ),
        separators=frozenset({".", "->", "::", ".*", "->*"}),
        readable=blank_attributes,
        error_share=0.02,
    ),
    Language(
        name="csharp",
        aliases=("c#", "cs", "c-sharp", "c_sharp"),
        extensions=(".cs", ".csx"),
        grammars=(Grammar("tree_sitter_c_sharp"),),
        convention="xmldoc",
        documentation=re.compile(r"///(?!/)|/\*\*(?![*/])"),
        marked=_SLASHES_MARK,
        line_comment="///",
        special_methods=re.compile(
            r"ToString|Equals|GetHashCode|CompareTo|Compare|Clone|MemberwiseClone|Dispose(?:Async)?|Finalize|GetEnumerator"
            r"|MoveNext|Main"
        ),
        separators=frozenset({".", "?.", "!.", "::", "->"}),
        sigils="@",
        blank="_",
        error_share=0.01,
    ),
    Language(
        name="go",
        aliases=("golang",),
        extensions=(".go",),
        grammars=(Grammar("tree_sitter_go"),),
        convention="godoc",
        documentation=re.compile(r"//|/\*"),
        line_comment="//",
        special_methods=re.compile(
            r"main|init|(?:Go)?String|Error|Unwrap|Len|Less|Swap|Close|(?:Unm|M)arshal(?:JSON|YAML|XML|Text|Binary)"
            r"|DeepCopy(?:Into|Object)?|(?:Benchmark|Example|Fuzz)(?:[_A-Z0-9]\w*)?"
        ),
        blank="_",
        import_suffix=re.compile(r"(?:[/.]v\d+|[.-]go|-golang)+\W*\Z"),
    ),
    Language(
        name="java",
        extensions=(".java",),
        grammars=(Grammar("tree_sitter_java"),),
        convention="javadoc",
        documentation=re.compile(r"/\*\*(?!/)|///(?!/)"),
        marked=_SLASHES_MARK,
        line_comment="///",
        special_methods=re.compile(r"[A-Z]\w*|toString|hashCode|equals|clone|finalize|compareTo|compare|main"),
        separators=frozenset({".", "::"}),
    ),
    Language(
        name="javascript",
        aliases=("js", "jsx", "ecmascript"),
        extensions=(".js", ".jsx", ".mjs", ".cjs"),
        grammars=(Grammar("tree_sitter_javascript", queries=("ecmascript", "jsx", "javascript")),),
        convention="jsdoc",
        documentation=_JSDOC,
        marked=_JSDOC_MARK,
        distant_documentation=_JSDOC_OF_A_FUNCTION,
        special_methods=re.compile(r"constructor|toString|toLocaleString|valueOf|toJSON|clone|main"),
        separators=frozenset({".", "?."}),
        transparent=frozenset({"prototype", "constructor", "exports"}),
        sigils="#",
    ),
    Language(
        name="php",
        extensions=(".php", ".phtml", ".inc", ".php3", ".php4", ".php5", ".php7", ".phps"),
        grammars=(
            Grammar("tree_sitter_php", "language_php", marker="<?"),
            Grammar("tree_sitter_php", "language_php_only"),
        ),
        convention="phpdoc",
        documentation=re.compile(r"/\*\*(?![*/])"),
        marked=_JAVADOC_MARK,
        special_methods=re.compile(
            r"__(?:construct|destruct|call|callStatic|get|set|isset|unset|sleep|wakeup|serialize|unserialize|toString"
            r"|invoke|set_state|clone|debugInfo)|main"
        ),
        separators=frozenset({"->", "?->", "::"}),
        sigils="$",
        calls_ignore_case=True,
    ),
    Language(
        name="python",
        aliases=("py", "python3"),
        extensions=(".py", ".pyi", ".pyw"),
        grammars=(Grammar("tree_sitter_python"),),
        convention="docstring",
        special_methods=re.compile(r"__\w+__|main"),
        braces=False,
        # *a / *b / *c: a starred expression or a target in every place. Real files have at most six of them in a row.
        ambiguous=re.compile(r"\*(?:[\w\s.]{0,40}+[-+/%@|&^<>]{1,2}+[\w\s.]{0,40}+\*){8,}+"),
    ),
    Language(
        name="ruby",
        aliases=("rb",),
        extensions=(".rb", ".rake", ".gemspec", ".ru"),
        grammars=(Grammar("tree_sitter_ruby"),),
        convention="rdoc",
        documentation=re.compile(r"#|=begin"),
        line_comment="#",
        special_methods=re.compile(
            r"\W+|initialize(?:_copy|_dup|_clone)?|to_(?:a|ary|f|h|hash|i|int|json|proc|s|str|sym|yaml)|inspect|hash|eql\?|coerce"
            r"|method_missing|respond_to(?:_missing)?\?|inherited|included|extended|prepended|method_added"
        ),
        braces=False,
        separators=frozenset({".", "&.", "::"}),
        sigils="@$:",
        symbol=":",
        type_name=re.compile(r"[^$].*[a-z]"),
        blank="_",
        readable=blank_nested_heredocs,
    ),
    Language(
        name="typescript",
        aliases=("ts", "tsx"),
        extensions=(".ts", ".tsx", ".mts", ".cts"),
        grammars=(
            Grammar(
                "tree_sitter_typescript",
                "language_typescript",
                queries=("ecmascript", "typescript", "typescript_casts"),
            ),
            Grammar("tree_sitter_typescript", "language_tsx", queries=("ecmascript", "jsx", "typescript")),
        ),
        convention="jsdoc",
        documentation=_JSDOC,
        marked=_JSDOC_MARK,
        distant_documentation=_JSDOC_OF_A_FUNCTION,
        special_methods=re.compile(r"constructor|toString|toLocaleString|valueOf|toJSON|clone|main"),
        separators=frozenset({".", "?.", "!.", "!?."}),
        transparent=frozenset({"prototype", "constructor", "exports"}),
        sigils="#",
    ),
)

LANGUAGES: dict[str, Language] = {row.name: row for row in _ROWS}

_BY_SPELLING = {spelling: row.name for row in _ROWS for spelling in (row.name, *row.aliases)}
_BY_EXTENSION = {extension: row.name for row in _ROWS for extension in row.extensions}
_BY_SHARED_EXTENSION = {
    extension: [row for row in _ROWS if extension in row.shared_extensions]
    for extension in dict.fromkeys(extension for row in _ROWS for extension in row.shared_extensions)
}


def resolve_language(name: str) -> str:
    """The table's name of a language, however it is spelled.

    Args:
        name: A language's name or alias in any case, such as `Python` or `C#`.

    Raises:
        ValueError: The language is not in the table; the message names those that are.
    """
    try:
        return _BY_SPELLING[name.strip().lower()]
    except KeyError:
        raise ValueError(f"unknown language {name!r}; known languages: {', '.join(LANGUAGES)}") from None


def language_of_path(path: str | PurePath, text: Callable[[], str] | None = None) -> str | None:
    """The language of a file by its extension, None when no row has that extension.

    Args:
        path: The file's name or path.
        text: Gives the file's text, or its beginning. It is called only where languages share the extension (`.h` of C
            and C++); without it such a file is taken for one of the language that has the extension as its own.
    """
    extension = PurePath(path).suffix.lower()
    if text is not None and (rows := _BY_SHARED_EXTENSION.get(extension)):
        beginning = text()
        for row in rows:
            if row.telling and row.telling.search(beginning):
                return row.name
    return _BY_EXTENSION.get(extension)
