"""The table of documentation conventions: how each is written.

A `Convention` says how its markers come off, how its inline markup reads, and where the description ends and tags or
sections begin. A language's row names its convention.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Convention:
    """One way to write documentation.

    Attributes:
        unwrap: Takes comment markers or quotes off the raw text.
        inline: Patterns of inline markup with what stands in their place, applied in order; before each a character
            without which it is not there (empty if there is none), since most texts lack most of them.
        end: Pattern of a line at which the description is over (tags, sections, examples).
        aside: Pattern of what is no part of the description although more of it follows: lines on parameters.
        description: Pattern of a tag that a description stands behind where none stands before the first tag.
        entities: Whether HTML entities such as `&lt;` are part of the convention.
        comments: Whether it is that of comments, which may hold lines for tools and rules between sections.
    """

    unwrap: Callable[[str], str]
    inline: tuple[tuple[str, re.Pattern[str], str], ...]
    end: re.Pattern[str]
    aside: re.Pattern[str] | None = None
    description: re.Pattern[str] | None = None
    entities: bool = False
    comments: bool = True


# The first character is a letter of the pattern, so that the engine skips to it: `*x*` and `**x**`, not `a * b`.
_EMPHASIS = re.compile(r"\*(?<![\w*]\*)(\*?)([^\s*](?:[^*\n]*[^\s*])?)\*\1(?![\w*])")
_MARKDOWN_TARGET = r"\((?:[^()\s]|\([^()\s]*\))*+(?:\s[^()\n]*)?\)"
_MARKDOWN = (
    ("\\", re.compile(r"\\(?=[\n{}@<>\[\]_*`])"), ""),
    ("[", re.compile(r"!\[[^\[\]]*\]" + _MARKDOWN_TARGET), ""),
    ("[", re.compile(r"\[([^\[\]]+)\]" + _MARKDOWN_TARGET), r"\1"),
    ("`", re.compile(r"``([^`\n]+)``|`([^`\n]+)`"), r"\1\2"),
    ("*", _EMPHASIS, r"\2"),
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": "", "\\": "\\", "'": "'", '"': '"'}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|N\{([^{}]+)\}|(.))", re.DOTALL)
# A string, or a comment between strings, in which quotes may stand.
_STRING = re.compile(
    r"#[^\n]*|([A-Za-z]{0,3})(?:"
    r"\"\"\"([^\"\\]*(?:(?:\\.|\"(?!\"\"))[^\"\\]*)*)\"\"\"|'''([^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*)'''"
    r"|\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|'([^'\\]*(?:\\.[^'\\]*)*)')",
    re.DOTALL,
)


def _unwrap_docstring(raw: str) -> str:
    """The value of string literals in a row."""
    parts = []
    for prefix, *bodies in _STRING.findall(raw):
        body = "".join(bodies)
        if "r" not in prefix.lower() and "\\" in body:
            body = _ESCAPE.sub(_unescaped, body)
        parts.append(body)
    return "".join(parts)


def _unescaped(match: re.Match[str]) -> str:
    if code := match[1] or match[2]:
        return chr(int(code, 16)) if int(code, 16) else match[0]
    if match[3]:
        try:
            return unicodedata.lookup(match[3])
        except KeyError:
            return match[0]
    return _ESCAPES.get(match[4], match[0])


def _unwrap_block_comment(raw: str) -> str:
    """The lines of a block comment without its delimiters and the column of stars."""
    inner = re.sub(r"\A/\*+(?!/)!*|\*+/\s*\Z", "", raw.strip())
    return re.sub(r"^[ \t]*\*+(?!/) ?", "", inner, flags=re.MULTILINE)


def _unwrap_javadoc(raw: str) -> str:
    """The lines of a block comment, or of line comments in Markdown (Java 23), whose markup goes here."""
    if not raw.startswith("///"):
        return _unwrap_block_comment(raw)
    text = re.sub(r"^[ \t]*///+ ?", "", raw, flags=re.MULTILINE)
    # [label][Class#member], [Class#member(types)], [#member]
    text = re.sub(r"\[([^\[\]\n]+)\]\[[^\[\]\n]*\]", r"\1", text)
    text = re.sub(r"(?<![\w\])])\[#?([A-Za-z_][\w.]*)(?:#(\w+))?(?:\([^()\n]*\))?\](?![\w(\[])", _member, text)
    for mark, pattern, replacement in _MARKDOWN:
        if mark in text:
            text = pattern.sub(replacement, text)
    return text


def _member(match: re.Match[str]) -> str:
    return ".".join(filter(None, match.groups()))


# A comment for tools: go:embed, nolint:all, export F, +build linux.
_GO_DIRECTIVE = re.compile(
    r"(?://(?:[a-z0-9]+:[a-z0-9]|(?:export|extern|line|sys(?:nb)?)\s)"
    r"|(?://)?[ \t]*(?:nolint\b|\+[a-zA-Z]|go:[a-z]|lint:|revive:|\#nosec\b|swagger:(?!operation\b)[a-z]|@\w+\.\w+\b))"
)
# What go-swagger reads as YAML: the summary is all of it that is prose.
_GO_OPERATION = re.compile(
    r"^[ \t]*swagger:operation\b[^\n]*(?:\n(?![ \t]*summary:)[^\n]*)*(?:\n[ \t]*summary:[ \t]*([^\n]*)(?s:.*))?",
    re.MULTILINE,
)
_GO_NAME_ONLY = re.compile(r"\A\s*\w+[ \t]+godoc[ \t]*$", re.MULTILINE)


def _unwrap_go_comment(raw: str) -> str:
    """The lines of a block comment, or of line comments without directives and rules."""
    if raw.startswith("/*"):
        lines = _unwrap_block_comment(raw).split("\n")
        text = "\n".join(line for line in lines if not _GO_DIRECTIVE.match(line))
    else:
        lines = [line.strip() for line in raw.split("\n")]
        text = "\n".join(line[2:] if line.strip("/-=*#~ ") else "" for line in lines if not _GO_DIRECTIVE.match(line))
    return _GO_OPERATION.sub(r"\1", _GO_NAME_ONLY.sub("", text)) if "swagger:" in text or "godoc" in text else text


def _unwrap_xml_comment(raw: str) -> str:
    """The lines of a comment in XML, the summary in front of the other elements."""
    text = _unwrap_block_comment(raw) if raw.startswith("/*") else re.sub(r"^[ \t]*/{3} ?", "", raw, flags=re.MULTILINE)
    before, _, rest = text.partition("<summary>")
    summary, _, after = rest.partition("</summary>")
    return f"{summary}\n\n{before}{after}"


# Comments for tools, magic comments and rules; what RDoc is told to leave out.
_HASH_DIRECTIVE = re.compile(
    r"[ \t]*+(?:rubocop:|standard:|:[a-z][\w-]*:(?!\S)|@rbs\b|frozen_string_literal:|(?:en)?coding:|warn_indent:|typed:"
    r"|-\*-|[-=*#~_+ \t]{3,}\Z).*"
)
_HASH_HIDDEN = re.compile(r"^--[ \t]*\n(?s:.*?)(?:^\+\+[ \t]*$|\Z)", re.MULTILINE)


def _unwrap_hash_comment(raw: str) -> str:
    """The lines of a comment between =begin and =end, or of line comments without directives and rules."""
    if raw.startswith("=begin"):
        return re.sub(r"\A=begin[^\n]*|^=end[^\n]*\s*\Z", "", raw, flags=re.MULTILINE)
    lines = (re.sub(r"\A[ \t]*#+ ?", "", line) for line in raw.splitlines())
    return _HASH_HIDDEN.sub("", "\n".join("" if _HASH_DIRECTIVE.fullmatch(line) else line for line in lines))


# Comments for tools, and words that tell readers of C++ what its definitions leave out.
_C_DIRECTIVE = re.compile(
    r"[ \t]*(?:(?:clang-format\b|NOLINT|IWYU\b|cppcheck|[LG]COVR?_|NOSONAR|coverity\[|lint\b).*"
    r"|<?[ \t]*(?:explicit|override|private|protected|public|static|virtual)[ \t]*[.:>]?[ \t]*)",
    re.IGNORECASE,
)
# /****** Section ******/, but a sentence
_LONGEST_BANNER = 200
_C_BANNER = re.compile(r"\s*/\*{4,}[^\n]*[^\s*.!?][ \t]*\*{4,}/\s*")
_RULE = re.compile(r"[ \t]*[-=*#~_+/<>|]{3,}[ \t]*")


def _unwrap_c_comment(raw: str) -> str:
    """The lines of a block comment, boxed or not, or of line comments, without directives and rules."""
    if len(raw) <= _LONGEST_BANNER and _C_BANNER.fullmatch(raw):
        return ""
    if raw.startswith("/*"):
        text = re.sub(r"(?<=\s)[*|]+[ \t]*$", "", _unwrap_block_comment(raw), flags=re.MULTILINE)
    else:
        text = re.sub(r"^[ \t]*//[/!]*<? ?", "", raw, flags=re.MULTILINE)
    return "\n".join("" if _C_DIRECTIVE.fullmatch(line) or _RULE.fullmatch(line) else line for line in text.split("\n"))


# Possessive, as what stands before it: an unclosed brace is given up at once.
_BRACED = r"((?:[^{}]|\{[^{}]*\})*+)"

# Tags of doxygen that begin something else than the description, and sections of comments in C.
_DOXYGEN_TAG = (
    r"(?:addtogroup|arg|attention|authors?|brief|bug|class|code|cond|copyright|copydoc|date|def|defgroup|deprecated|details?|dot"
    r"|end\w+|example|exception|file|fn|headerfile|if|image|ingroup|invariant|li|memberof|name|note|obsolete|overload"
    r"|par|param|post|pre|private|protected|public|reimp|relate[sd]\w*|remarks?|result|retval|returns?|sa|see|short|since"
    r"|snippet|static|test|throws?|todo|tparam|verbatim|version|warning)"
)
_C_SECTION = (
    r"Args|Arguments?|Context|Deprecated|Examples?|Inputs?|Locking|Notes?|Outputs?|Param(?:eter)?s?|Preconditions?|Requires?"
    r"|Results?|Returns?(?:[ ](?:codes?|values?))?|See[ ]also|Side[ ]effects?|Since|Stability|Thread[ ]safety|Usage"
)

CONVENTIONS: dict[str, Convention] = {
    # kernel-doc, gtk-doc, doxygen and plain comments: one project has them side by side.
    "doxygen": Convention(
        unwrap=_unwrap_c_comment,
        inline=(
            # name: (annotation of gtk-doc) (another)
            ("", re.compile(r"\A(\s*\w+[ \t]*:)(?:[ \t]*\([a-z-]+(?:[ \t][^()\n]*)?\))+[ \t:]*$", re.MULTILINE), r"\1"),
            # some_name() - text of kernel-doc, also where the name is an old one
            ("-", re.compile(r"\A\s*(?:function\s+)?\w+(?:\(\)|_\w+)[ \t]+--?[ \t]+(?=\S)", re.IGNORECASE), ""),
            (
                ":",
                re.compile(
                    r"^[ \t]*\**(?:Abstract|Description|Purpose|Summary)\**[ \t]*:\**[ \t]*", re.M | re.IGNORECASE
                ),
                "",
            ),
            # what javah writes
            (":", re.compile(r"^[ \t]*(?:Class|Method|Signature):[ \t]+\S+[ \t]*$", re.MULTILINE), ""),
            # \ref target "label", \c word, \f$ formula \f$
            ('"', re.compile(r"[\\@](?:sub)?ref[ \t]+\S+[ \t]+\"([^\"\n]+)\""), r"\1"),
            (
                "",
                re.compile(
                    r"[\\@](?:(?:a|b|c|e|em|p|(?:sub)?ref|link|endlink|l|internal)\b(?![ \t]*:)|f[$\[\]])[ \t]*"
                ),
                "",
            ),
            # @argument, %CONSTANT, #Type, &struct name
            (
                "@",
                re.compile(r"^([ \t]*)@(?!" + _DOXYGEN_TAG + r"\b)(?=[A-Za-z_]\w*(?![\w.]*[ \t]*:))", re.MULTILINE),
                r"\1",
            ),
            ("@", re.compile(r"(?<=[^\s*][ \t(/'\"])@(?=[A-Za-z_])"), ""),
            ("", re.compile(r"(?<![\w%#&.])(?:%(?=[A-Za-z_]\w\w)|#(?=[A-Z]\w)|&(?=[A-Za-z_]\w))"), ""),
            ("`", re.compile(r"``([^`\n]+)``|`([^`\n']+)[`']"), r"\1\2"),
            ("*", _EMPHASIS, r"\2"),
        ),
        end=re.compile(
            r"^[ \t]*(?:[@\\](?:" + _DOXYGEN_TAG + r")\b(?![ \t]*:)|(?:" + _C_SECTION + r")[ \t]*:"
            r"|(?:Parameters?|Arguments|Returns?|Inputs?|Outputs?|Examples?|Notes?)[ \t]*$|\|\[|```|~~~|#{1,6}[ \t])",
            re.MULTILINE | re.IGNORECASE,
        ),
        # @name: text of kernel-doc and gtk-doc, up to a blank line, the next one or a section
        aside=re.compile(r"^[ \t]*@[\w.]+[ \t]*:[^\n]*\n?(?:(?![ \t]*(?:@|\w+:))[ \t]*\S[^\n]*\n?)*", re.MULTILINE),
        description=re.compile(
            r"^[ \t]*[@\\](?:(?:brief|short|details?)\b[ \t:]*"
            # a tag that takes no text, with text below
            r"|(?:addtogroup|class|defgroup|fn|headerfile|ingroup|memberof|name|obsolete|overload|private|protected"
            r"|public|reimp|relate[sd]\w*|since|static)\b[^\n]*\n(?!\s*[@\\]|\s*\Z))",
            re.MULTILINE,
        ),
        entities=True,
    ),
    "docstring": Convention(
        comments=False,
        unwrap=_unwrap_docstring,
        inline=(
            # :role:`title <target>`, :role:`~module.name`, :role:`name`
            ("<", re.compile(r":[A-Za-z][\w:+.-]*:`([^`<]+?)\s*<[^`<>]*>`"), r"\1"),
            ("`", re.compile(r":[A-Za-z][\w:+.-]*:`~(?:[^`]*\.)?([^`.]+)`"), r"\1"),
            ("`", re.compile(r":[A-Za-z][\w:+.-]*:`([^`]+)`"), r"\1"),
            # `~module.name`, |Name|, [1]_, [Citation]_
            ("`", re.compile(r"(?<!`)`~(?:[A-Za-z_]\w*\.)+(\w+)`(?!`)"), r"\1"),
            ("|", re.compile(r"(?<![\w|])\|([A-Z][A-Za-z][\w.]*)\|(?![\w|])"), r"\1"),
            ("[", re.compile(r"[ \t]?(?<![\w\])])\[[#*\d]+\]_(?!\w)"), ""),
            ("[", re.compile(r"(?<![\w\])])\[([A-Za-z][\w.-]*)\]_(?!\w)"), r"\1"),
            ("<", re.compile(r"`([^`<\n]+?)\s*<[^`<>]*>`__?"), r"\1"),
            # L{link}, C{code} and the like of epytext
            ("{", re.compile(r"[A-Z]\{([^{}]*)\}"), r"\1"),
            ("(", re.compile(r"[ \t]*\((?:PRIVATE|private)\)(?=\.)"), ""),
            ("`", re.compile(r"``([^`]+)``"), r"\1"),
            ("`", re.compile(r"`([^`\n]+)`_{0,2}"), r"\1"),
            ("*", _EMPHASIS, r"\2"),
        ),
        end=re.compile(
            r"""^[ \t]*(?:
                :\w[^:\n`]*:(?=\s|$)                                # Sphinx fields
              | @\w+(?:[ \t]+[\w.*]+)?[ \t]*:                       # epytext fields
              | \.\.\s                                              # directives
              | >>>                                                 # doctests
              | [-=~*+#_]{3,}[ \t]*$                                # underlines, rules
              | (?:Args?|Arguments?|Parameters?|Params|Kwargs|Keyword\ arg(?:ument)?s|Other\ parameters|Returns?|Yields?
                  |Receives?|Raises?|Throws|Except(?:ion)?s|Warns?|Warnings?|Attributes?|Methods?|Members|Examples?|Usage
                  |Notes?|See\ also|References|Todo|Inputs?|Outputs?|Options|Side\ effects)[ \t]*
                (?::[ \t]*$|\n[ \t]*[-=~]{3,}[ \t]*$)               # sections of Google and numpy
            )""",
            re.VERBOSE | re.MULTILINE | re.IGNORECASE,
        ),
    ),
    "javadoc": Convention(
        unwrap=_unwrap_javadoc,
        inline=(
            ("{", re.compile(r"\{@inheritDoc\s*\}", re.IGNORECASE), ""),
            ("{", re.compile(r"\{@return\s++(?:[Rr]eturns?\s++)?" + _BRACED + r"\}"), r"Returns \1."),
            # {@link Class#member(types) label}, {@link Class#member(types)}, {@link #member}, {@link Class}
            ("{", re.compile(r"\{@link(?:plain)?\s+[^\s{}()]+(?:\([^(){}]*\))?\s++" + _BRACED + r"\}"), r"\1"),
            ("{", re.compile(r"\{@link(?:plain)?\s+([^\s{}()#]+)#([^\s{}()]+)(?:\([^(){}]*\))?\s*\}"), r"\1.\2"),
            ("{", re.compile(r"\{@link(?:plain)?\s+#?([^\s{}()]+)(?:\([^(){}]*\))?\s*\}"), r"\1"),
            ("{", re.compile(r"\{@\w+\s*+#?" + _BRACED + r"\}"), r"\1"),
        ),
        end=re.compile(r"^[ \t]*(?:@[A-Za-z]\w*|```|~~~|#{1,6}[ \t])", re.MULTILINE),
        entities=True,
    ),
    "jsdoc": Convention(
        unwrap=_unwrap_block_comment,
        inline=(
            ("{", re.compile(r"\{@inheritDoc\b[^{}]*\}", re.IGNORECASE), ""),
            # [label]{@link target}, {@link target|label}, {@link target label}, {@link module:path~target}
            ("{", re.compile(r"\[([^\[\]]+)\]\{@(?:link\w*|tutorial)\s[^{}]*\}"), r"\1"),
            ("{", re.compile(r"\{@(?:link\w*|tutorial)\s+[^\s|{}]+(?:\s+|\s*\|\s*)([^\s|{}][^{}]*)\}"), r"\1"),
            ("{", re.compile(r"\{@(?:link\w*|tutorial)\s+(?:module:[\w./-]*[~#.])?#?([^\s|{}]+)\s*\}"), r"\1"),
            ("{", re.compile(r"\{@\w+\s*+" + _BRACED + r"\}"), r"\1"),
            *_MARKDOWN,
        ),
        end=re.compile(r"^[ \t]*(?:@[A-Za-z]|```|~~~|#{1,6}[ \t]|Examples?:?[ \t]*$)", re.MULTILINE),
        description=re.compile(
            r"^[ \t]*(?:@(?:description|desc|summary)\b[ \t:]*"
            # a tag that takes no text, with text on the next line
            r"|@(?:async|export|function|hidden|ignore|internal|method|override|private|protected|public|static)"
            r"[ \t]*\n(?!\s*@|\s*\Z))",
            re.MULTILINE,
        ),
        entities=True,
    ),
    "godoc": Convention(
        unwrap=_unwrap_go_comment,
        inline=(
            ("`", re.compile(r"``([^`'\n]+)''"), r"\1"),
            ("`", re.compile(r"`([^`\n]+)`"), r"\1"),
            # [Name], [*Name], [package.Name]
            ("[", re.compile(r"(?<![\w\])])\[\*?([A-Za-z_][\w.]*)\](?![\w(\[])"), r"\1"),
        ),
        # annotations of swaggo and its like: @Summary text, @Router /path [get]
        end=re.compile(
            r"^[ \t]*(?:Deprecated:|BUG\(\w+\)|TODO\b|FIXME\b|XXX\b|#\s|Examples?:[ \t]*$|@[A-Za-z]|---[ \t]*$)",
            re.MULTILINE,
        ),
        description=re.compile(
            r"^[ \t]*@(?:Summary|Description|Title|summary|description|title)\b[ \t:]*", re.MULTILINE
        ),
    ),
    "phpdoc": Convention(
        unwrap=_unwrap_block_comment,
        inline=(
            ("{", re.compile(r"\{@inheritdoc\b[^{}]*\}", re.IGNORECASE), ""),
            ("{", re.compile(r"\{@(?:link|see)\s+[^\s{}]+\s+([^{}]+)\}"), r"\1"),
            ("{", re.compile(r"\{@(?:link|see)\s+([^\s{}]+)\s*\}"), r"\1"),
            ("{", re.compile(r"\{@\w+\s*+" + _BRACED + r"\}+"), r"\1"),
            *_MARKDOWN,
        ),
        end=re.compile(r"^[ \t]*(?:@[A-Za-z]|```|~~~|#{1,6}[ \t]|#@|Examples?:?[ \t]*$)", re.MULTILINE),
        entities=True,
    ),
    "xmldoc": Convention(
        unwrap=_unwrap_xml_comment,
        inline=(
            ("", re.compile(r"<!\[CDATA\[|\]\]>"), ""),
            # <see cref="M:Name.Space.Class.Member(types)"/>, <see cref="Member{T}"/>, <paramref name="x"/>: the name
            # alone. Those that close themselves come first: what follows them is no label of theirs.
            (
                "<",
                re.compile(
                    r"<(?:see|seealso|paramref|typeparamref)\s+(?:cref|name|langword)\s*=\s*[\"'](?=[^\"'<>]*+[\"']\s*/>)\s*+"
                    r"(?:[A-Z!]:)?(?:[\w.:]*[.:])?([\w#]+)[^\"'<>]*+[\"']\s*/>"
                ),
                r"\1",
            ),
            ("<", re.compile(r"<(?:see|seealso)\s[^<>]*/>"), ""),
            ("<", re.compile(r"<(see|seealso|paramref|typeparamref|c)\b[^<>]*>([^<>]*)</\1>"), r"\2"),
            ("<", re.compile(r"<code\b[^<>]*>([^<>\n]*)</code>"), r"\1"),
            ("<", re.compile(r"</?para\s*/?>|<code\b[^<>]*>|</code>|</?list\b[^<>]*>"), "\n\n"),
            ("<", re.compile(r"<item\s*>"), "\n- "),
            ("<", re.compile(r"</?(?:item|term|description|listheader|summary)\s*/?>"), " "),
            (
                "<",
                re.compile(
                    r"<(param|typeparam|exception|permission)\s+(?:name|cref)\s*=\s*[\"'](?:[A-Z!]:)?([^\"'<>]*)[\"']\s*/?>"
                ),
                "\n\n@\\1 \\2 ",
            ),
            (
                "<",
                re.compile(r"<(returns?|remarks?|value|example|seealso|overloads|devdoc|internalonly)\b[^<>]*>"),
                "\n\n@\\1 ",
            ),
            ("<", re.compile(r"</?[A-Za-z]\w*(?:\s+\w+\s*=\s*[\"'][^\"'<>]*[\"'])*\s*/?>"), ""),
        ),
        end=re.compile(r"^[ \t]*@[A-Za-z]", re.MULTILINE),
        entities=True,
    ),
    "rdoc": Convention(
        unwrap=_unwrap_hash_comment,
        inline=(
            # Code in front of the text; what is called how, up to the first line that is not indented.
            ("", re.compile(r"\A(?:[ \t]*\n)*(?:[ \t]{2,}\S[^\n]*\n(?:[ \t]*\n)*)+(?=\S)"), ""),
            ("call-seq:", re.compile(r"^[ \t]*:?call-seq:[^\n]*\n(?:(?:[ \t]+\S[^\n]*|[ \t]*)\n)*+", re.MULTILINE), ""),
            (":", re.compile(r"(?<!\S):[a-z][\w-]*:(?!\S)"), ""),
            # TomDoc
            (":", re.compile(r"\A\s*(?:Public|Internal|Private|Protected)(?:\s+API)?:\s+"), ""),
            # {label}[target], label[rdoc-ref:target], {Name#member label}, {Name#member}
            ("{", re.compile(r"\{([^{}\n]+)\}\[[^\[\]\s]*\]"), r"\1"),
            ("[", re.compile(r"(?<![\w.:#])(\w[\w.:#]*+)\[(?:rdoc-\w+|https?|link|mailto|ftp):[^\[\]\s]*\]"), r"\1"),
            ("rdoc-ref:", re.compile(r"rdoc-ref:([\w.:#]*\w[?!=]?)"), r"\1"),
            (
                "{",
                re.compile(
                    r"\{(?:[A-Z][\w:]*+[#.]?+[\w?!=]*+|[#.]\w+[?!=]?|(?:file|include):[^\s{}]++)\s++([^{}=][^{}]*)\}"
                ),
                r"\1",
            ),
            ("{", re.compile(r"\{#?([A-Z][\w:]*(?:[#.]\w+[?!=]?)?|[#.]\w+[?!=]?)\}"), r"\1"),
            # {member}, not a block or a part of a path
            ("{", re.compile(r"(?<![^\s(])\{([a-z]\w*[?!]?)\}(?![\w/])"), r"\1"),
            ("\\", re.compile(r"\\(?=[A-Z#:_<*+{])"), ""),
            ("+", re.compile(r"(?<![\w+])\+([\w:.#@$&!?=<>\[\]()'\"/*-]+)\+(?![\w+])"), r"\1"),
            *_MARKDOWN,
        ),
        end=re.compile(
            r"^[ \t]*(?:@[A-Za-z!]|```|~~~|#{1,6}[ \t]|={1,6}[ \t]*[A-Z]|(?:Examples?|Returns?|Parameters):?[ \t]*$)",
            re.MULTILINE,
        ),
        # text below a tag that takes none
        description=re.compile(
            r"^[ \t]*@(?:private|api[ \t]\w+|since[ \t]\S+|abstract|!macro[^\n]*|!visibility[ \t]\w+)[ \t]*\n"
            r"(?!\s*@|\s*\Z)",
            re.MULTILINE,
        ),
    ),
}
