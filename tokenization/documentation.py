"""Documentation as written to plain text, and plain text to its first sentence.

A `Convention` says how one documentation convention is written: how its markers come off, how its inline markup reads,
and where the description ends and tags or sections begin. A language's row names its convention.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc

import ftfy


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
    """

    unwrap: Callable[[str], str]
    inline: tuple[tuple[str, re.Pattern[str], str], ...]
    end: re.Pattern[str]
    aside: re.Pattern[str] | None = None
    description: re.Pattern[str] | None = None
    entities: bool = False


_ESCAPES = {"n": "\n", "t": "\t", "\n": "", "\\": "\\", "'": "'", '"': '"'}
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
            body = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), body, flags=re.DOTALL)
        parts.append(body)
    return "".join(parts)


def _unwrap_block_comment(raw: str) -> str:
    """The lines of a block comment without its delimiters and the column of stars."""
    inner = re.sub(r"\A/\*+(?!/)!*|\*+/\s*\Z", "", raw.strip())
    return re.sub(r"^[ \t]*\*+(?!/) ?", "", inner, flags=re.MULTILINE)


# A comment for tools: go:embed, nolint:all, export F, +build linux.
_GO_DIRECTIVE = re.compile(r"//(?:[a-z0-9]+:[a-z0-9]|\s*nolint\b|(?:export|extern|line|sys(?:nb)?)\s|\s*\+[a-z])")


def _unwrap_go_comment(raw: str) -> str:
    """The lines of a block comment, or of line comments without directives and rules."""
    if raw.startswith("/*"):
        return _unwrap_block_comment(raw)
    lines = [line.strip() for line in raw.split("\n")]
    return "\n".join(line[2:] if line.strip("/-=*#~ ") else "" for line in lines if not _GO_DIRECTIVE.match(line))


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
        return re.sub(r"\A=begin[^\n]*|^=end[^\n]*\Z", "", raw, flags=re.MULTILINE)
    lines = (re.sub(r"\A[ \t]*#+ ?", "", line) for line in raw.splitlines())
    return _HASH_HIDDEN.sub("", "\n".join("" if _HASH_DIRECTIVE.fullmatch(line) else line for line in lines))


# Comments for tools, and words that tell readers of C++ what its definitions leave out.
_C_DIRECTIVE = re.compile(
    r"[ \t]*(?:(?:clang-format\b|NOLINT|IWYU\b|cppcheck|[LG]COVR?_|NOSONAR|coverity\[|lint\b).*"
    r"|<?[ \t]*(?:explicit|override|private|protected|public|static|virtual)[ \t]*[.:>]?[ \t]*)",
    re.IGNORECASE,
)
_RULE = re.compile(r"[ \t]*[-=*#~_+/<>|]{3,}[ \t]*")


def _unwrap_c_comment(raw: str) -> str:
    """The lines of a block comment, boxed or not, or of line comments, without directives and rules."""
    if raw.startswith("/*"):
        text = re.sub(r"(?<=\s)[*|]+[ \t]*$", "", _unwrap_block_comment(raw), flags=re.MULTILINE)
    else:
        text = re.sub(r"^[ \t]*//[/!]*<? ?", "", raw, flags=re.MULTILINE)
    return "\n".join("" if _C_DIRECTIVE.fullmatch(line) or _RULE.fullmatch(line) else line for line in text.split("\n"))


_PROSE_MARKUP = (
    ("<", re.compile(r"<!--.*?-->", re.DOTALL), " "),
    ("<", re.compile(r"</?(?:p|br|pre|ul|ol|dl|table|blockquote|div|h[1-6]|hr)\b[^<>]*>", re.IGNORECASE), "\n\n"),
    ("<", re.compile(r"<(?:li|dt|tr)\b[^<>]*>", re.IGNORECASE), "\n- "),
    (
        "<",
        re.compile(
            r"<(?:/|(?<!\w<))(?:a|abbr|b|big|center|cite|code|dd|del|dfn|dt|em|font|i|img|ins|kbd|li|q|s|samp|small|span|strike"
            r"|strong|sub|sup|tbody|td|tfoot|th|thead|tr|tt|u|var)(?:\s[^<>]*)?/?>",
            re.IGNORECASE,
        ),
        "",
    ),
    # _name_, %%name%%, [[Name]]
    ("_", re.compile(r"(?<!\w)_([A-Za-z]+)_(?!\w)"), r"\1"),
    ("", re.compile(r"%%(\w+)%%|\[\[(\w+)\]\]"), r"\1\2"),
)
_URL = re.compile(r"<?\b(?:https?|ftp)://[^\s<>\"']*[^\s<>\"'.,;:!?)\]}]>?")
# Where a URL was (NUL: no text has one), with the brackets in which nothing else is left, or the sentence.
_URL_GONE = re.compile(
    r"[ \t]*\((?:see|from|at|cf\.?)?[ \t:,]*\0[ \t\0]*\)|(?-i:\bSee)(?: also)?[ \t:]*\0\.?(?=\s*$)|\0",
    re.IGNORECASE | re.MULTILINE,
)

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
        unwrap=_unwrap_block_comment,
        inline=(
            ("{", re.compile(r"\{@inheritDoc\s*\}", re.IGNORECASE), ""),
            ("{", re.compile(r"\{@return\s++(?:[Rr]eturns?\s++)?" + _BRACED + r"\}"), r"Returns \1."),
            # {@link Class#member(types) label}, {@link Class#member(types)}, {@link #member}, {@link Class}
            ("{", re.compile(r"\{@link(?:plain)?\s+[^\s{}()]+(?:\([^(){}]*\))?\s++" + _BRACED + r"\}"), r"\1"),
            ("{", re.compile(r"\{@link(?:plain)?\s+([^\s{}()#]+)#([^\s{}()]+)(?:\([^(){}]*\))?\s*\}"), r"\1.\2"),
            ("{", re.compile(r"\{@link(?:plain)?\s+#?([^\s{}()]+)(?:\([^(){}]*\))?\s*\}"), r"\1"),
            ("{", re.compile(r"\{@\w+\s*+#?" + _BRACED + r"\}"), r"\1"),
        ),
        end=re.compile(r"^[ \t]*@[A-Za-z]\w*", re.MULTILINE),
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
        end=re.compile(r"^(?:Deprecated:|BUG\(\w+\)|TODO\b|FIXME\b|XXX\b|#\s|Examples?:[ \t]*$)", re.MULTILINE),
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

# A full stop behind these ends no sentence; behind those of the second line only before a capital letter.
_ABBREVIATION = re.compile(r"(?:approx|cf|eg|ie|eq|fig|vs|viz|wrt|aka|al|dr|mr|(?:[a-z]\.)+[a-z])", re.IGNORECASE)
_ABBREVIATION_OR_END = re.compile(r"(?:etc|resp|incl|excl|max|min|no|ver|sec|dept|esp)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]+(?=[\"')\]]*(?:\s|$))[\"')\]]*")
_LIST_ITEM = re.compile(r"\n[ \t]*(?:[-*+•o][ \t]|\(?\w{1,2}[.)][ \t])")
_BULLET = re.compile(r"\A\s*[-+*•]\s+")
_CALL = re.compile(
    r"\s*(?:[\w.:\\]*[.:\\])?(\w+)\s*(?:\([^()]*\)\s*(?:(?:->|=>)[^\n]*(?:\n|$)|[-:–—=]+\s+|\n|$)|(?:--?|:)(?:\s+|$))"
    r"|\s*(\w+)[ \t]*(?:\n|$)"
)


def clean(raw: str, convention: Convention) -> str:
    """Plain text: markers, inline markup, HTML and URLs taken off, broken Unicode repaired, lines and sections kept."""
    text = convention.unwrap(raw.replace("\r\n", "\n").replace("\r", "\n") if "\r" in raw else raw)
    if not text.isascii():
        text = ftfy.fix_text(text, unescape_html=False)
    for mark, pattern, replacement in (*convention.inline, *_PROSE_MARKUP):
        if mark in text:
            text = pattern.sub(replacement, text)
    if "://" in text:
        text = _URL_GONE.sub("", _URL.sub("\0", text))
    if convention.entities:
        text = html.unescape(text)
    text = "\n".join(line.rstrip() for line in cleandoc(text).split("\n"))
    return (re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text).strip()


def summarize(documentation: str, convention: Convention, name: str) -> str:
    """The first sentence of a documentation, in one line; empty if it has none.

    It ends with a full stop, question mark or exclamation mark before a blank, unless an abbreviation stands before it;
    else with the paragraph, before a list, or at the convention's first tag or section. A repetition of the function's
    own call, such as `name(x) -> int`, is no part of it.

    Args:
        documentation: What `clean` gave.
        convention: The convention it is written in.
        name: The function's name.
    """
    for paragraph in re.split(r"\n[ \t]*\n", _description(documentation, convention)):
        while (call := _CALL.match(paragraph)) and name in call.groups():
            paragraph = paragraph[call.end() :]
        prose = _LIST_ITEM.split(_BULLET.sub("", paragraph), maxsplit=1)[0]
        sentence = _first_sentence(" ".join(prose.split()))
        if sentence:
            return sentence
    return ""


def _description(documentation: str, convention: Convention) -> str:
    end = convention.end.search(documentation)
    head = documentation[: end.start()] if end else documentation
    if convention.aside:
        head = convention.aside.sub("\n\n", head)
    if convention.description and not head.strip() and (tag := convention.description.search(documentation)):
        end = convention.end.search(documentation, tag.end())
        return documentation[tag.end() : end.start() if end else None]
    return head


def _first_sentence(text: str) -> str:
    for match in _SENTENCE_END.finditer(text):
        word = text[: match.start()].rpartition(" ")[2].lstrip("([\"'")
        following = text[match.end() :].lstrip()[:1]
        goes_on = following.islower() or following.isdigit()
        is_abbreviation = _ABBREVIATION.fullmatch(word) or (goes_on and _ABBREVIATION_OR_END.fullmatch(word))
        # Names of predicates and the like end so: the sentence goes on behind `empty?` in small letters.
        is_full_stop = match[0].startswith(".") and not match[0].startswith("..")
        if not (is_abbreviation if is_full_stop else following.islower()):
            return text[: match.end()]
    return text.rstrip(" :")
