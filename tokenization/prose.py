"""Whether a text is code: what was commented out above a function documents nothing.

Contract: a description is never taken for code because it names things of code. `is_code` asks that whole lines read
as statements, the first one and at least half of the others; formulas and grammars do not. Measured on the summaries of
our corpus, see docs/languages.md.
"""

from __future__ import annotations

import re

_NAME = r"[@$]{0,2}+[A-Za-z_]\w*+[?!]?"
_PATH = rf"[*&]?{_NAME}(?:(?:\.|::|->|\?\.|&\.){_NAME}|\[[^\[\]\n]*+\])*+"
_ARGUMENTS = r"\((?:[^()\n]|\([^()\n]*\))*+\)"
_TYPE = (
    r"(?:void|int|bool|boolean|char|long|float|double|size_t|string|String|var|auto|let|const|my|unsigned|struct[ ]\w+"
    r"|[\w:]+<[^\n]*>)"
)
_VALUE = (
    rf"(?:-?[\d.]+\w*(?:[ ]*[-+*/%<>=&|?;][^\n]*)?|[\"'\[{{:][^\n]*|(?:new|await|!|not)[ ]+[^\n]*"
    rf"|true|false|True|False|null|nil|None|NULL"
    rf"|{_PATH}\([^\n]*\)[^\n]*|{_NAME}(?:\.|->|::)[^\n]*)"
)
_OPERATOR = r"[ ]*(?:[=!<>]=|[<>]|=~|&&|\|\|)[ ]*[^\n]+"

# Lines that nobody writes in prose.
_CODE = re.compile(
    rf"""[ \t]*+(?:
        (?:async[ ])?(?:def|fn)[ ]+[\w.]+[?!=]?[ ]*\([^\n]*
      | (?:export[ ])?(?:default[ ])?(?:async[ ]|go[ ])?func(?:tion)?\b[ *]*(?:\([^()\n]*\)[ ]*)?
        [\w$]*\([^\n]*[)\w\]][ ]*[{{;]?
      | (?:export[ ])?(?:default[ ])?(?:async[ ])?func(?:tion)?\b[ *]*(?:\([^()\n]*\)[ ]*)?[\w$]*[ ]*\([^\n]*\{{[^\n]*
      | (?:(?:public|private|protected|internal|static|final|virtual|override|abstract|inline|extern|async)[ ]+)+
        [\w<>\[\],.:*&? ]*\w\([^()\n]*\)[^\n.]*
      | {_TYPE}[ ]+[*&]*{_NAME}[ ]*
        (?:\([^\n]*\)[ ]*[{{;]?|=[^\n]*[;{{(]|;|\[[^\n]*;|=[ ]*{_VALUE})
      | [\w:]+[ ][*&]*{_NAME}[ ]*=[^\n]*;
      | (?:class|interface|struct|enum|namespace|module)[ ]+[\w:.]+(?:[ ]*[:<(][^\n]*)?[ ]*[{{:]
      | class[ ]+[A-Z][\w:]*[ ]+<[ ]+[A-Z][\w:]*
      | (?:\}}[ ]*)?(?:if|else[ ]if|elsif|elif|while|for|foreach|switch|catch)[ ]*
        \([^\n]*(?:\)[ ]*\{{|[;{{}}]|[|&]{{2}})
      | (?:if|elif|while|for|switch)[ ][^\n]*\{{ | case[ ](?:[\d"'][^\n]*|[\w.]+): | defer[ ]{_PATH}\([^\n]*
      | for[ ]\w+(?:,[ ]?\w+)?[ ](?::=|in)[ ][^\n ]*:
      | with[ ]{_PATH}\([^\n]*\)(?:[ ]as[ ]\w+)?: | (?:try|else|finally):
      | (?:if|elif|while)[ ](?:not[ ])?{_PATH}(?:\([^\n]*\))?(?:[ ]*(?:[=!<>]=|[<>])[ ]*[\w."']+)?:
      | (?:return|break|continue|goto|throw|raise)\b[^\n.]*; | return[ ](?:if|unless)[ ]!?[\w.]+\?
      | (?:[@$]\w+|(?:self|this)(?:\.|->)\w+)[ ]*[-+*/|]?=[ ][^\n]+
      | {_PATH}(?:\+\+|--); | {_PATH}[ ]*<<[^\n]*; | {_PATH}[ ]*[-+*/%|&]=[ ]*[^\n ]+
      | {_PATH}\([^\n]*\)[ ]*(?:;|\{{|do\b[^\n]*|\{{[ ]*\|[^\n]*)
      | {_PATH}[ ]do(?:[ ]\|[^|\n]*\|)?
      | from[ ][\w.]+[ ]import[ ][\w*, ]+
      | import[ ][\w.*{{}}, ]+(?:;|[ ]from[ ]["'][^\n]*) | (?:using|package)[ ][\w.]+;
      | \#[ ]?(?:include[ ]*[<"]|define[ ]+\w|ifn?def[ ]+\w|if[ ]+(?:0|1|defined|!)|endif|undef[ ])[^\n]*
      | [{{}}()\[\];,]++ | (?:end|else|begin|do|\}}[ ]*else[ ]*\{{|\}}[ ]*catch[^\n]*|end[.)][^\n]*|pass)[;,]?
    )[ \t]*""",
    re.VERBOSE,
)
# Lines that are code unless words of prose stand in them.
_LIKE_CODE = re.compile(
    rf"""[ \t]*+(?:
        (?:async[ ])?(?:def|fn)[ ]+[\w.]+[?!=]?
      | (?:if|elif|while|for|with|except|switch)[ ]*(?:\([^\n]*\)|[^\n]*[^\n ]:)
      | (?:if|unless|while|until|elsif)[ ](?:!|not[ ])?{_PATH}(?:{_OPERATOR}|\([^\n]*\)|(?<=[?!])|[ ]*[-+*/%][ ]*[^\n]+)
      | (?:if|unless|while|until|elsif)[ ](?:!|@|\w+\.)[^\n]*
      | return[ ]+(?:{_VALUE}|{_PATH}) | return[ ](?:if|unless)[ ][^\n ]+ | raise[ ][^\n]+[ ](?:if|unless)[ ][^\n ]+
      | (?:{_TYPE}[ ]+)?{_PATH}(?:,[ ]*{_PATH})*[ ]*
        (?::=|[-+*/%|&^.]?=|\|\|=|&&=|<<=|>>=|\?\?=)(?![=>])[ ]*(?:{_VALUE}|[^\n]*[;{{])
      | {_PATH}{_ARGUMENTS}(?:(?:\.|->|::|&\.){_NAME}(?:{_ARGUMENTS})?)*(?:[ ]*[-+*/%][ ]*[\w.]+)?[ ]*
      | (?:await|yield|raise|throw|delete|del|echo|puts|print|assert|require|include|import)[ ]+
        (?:{_PATH}\([^\n]*\)|["'<$:@][^\n]*|{_PATH};|\w*\[[^\n]*|[^\n]*[=!<>]=[^\n]*)
      | [a-z_]\w*[ ](?::\w+|\w+:[ ][@:"'\[{{])[^\n]* | lambda[ \w,]*:[^\n]*
    )[ \t]*""",
    re.VERBOSE,
)
# Most texts have nothing of it.
_MAY_BE_CODE = re.compile(
    r"[;{}=()\[\]]|\A\s*(?:[@$#}]|(?:async|def|fn|if|elif|elsif|else|unless|until|while|for|foreach|with|except|try|switch"
    r"|case|return|end|class|from|import|require|include|raise|throw|puts|print|echo|yield|del|delete|defer|lambda|assert)\b"
    r"|[a-z_]\w* :?\w+:?[ ,])|[\w\]] (?:do|<<) ?"
)
_STRING_OR_COMMENT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|//[^\n]*|/\*[^\n]*|(?<=[;{} )])#[^\n]*")
_PROSE = re.compile(
    r"(?<![\w.(])(?!return\b|else\b|if\b|unless\b|while\b|elsif\b|for\b|with\b|not\b)"
    r"[A-Za-z]?[a-z]+,? [a-z]+(?:'s)?,? [a-z]{2,}(?![\w(.])"
    r"|\b(?:the|an|is|are|to|of|on|by) [a-z]"
)
_LINES = 12
_LONGEST_LINE = 200  # The time of the patterns grows with the cube of it.


def may_be_code(text: str) -> bool:
    """Whether a text has anything of code, which is told much sooner than whether it is."""
    return bool(_MAY_BE_CODE.search(text))


def is_code(text: str) -> bool:
    """Whether the first line of a text is a statement, and at least half of the next ones are."""
    first, _, others = text.partition("\n")
    if not may_be_code(first) or not _is_statement(first):
        return False
    lines = [line for line in others.split("\n", _LINES)[:_LINES] if line.strip()]
    return 2 * sum(map(_is_statement, lines)) >= len(lines)


def _is_statement(line: str) -> bool:
    if len(line) > _LONGEST_LINE:
        return False
    bare = _STRING_OR_COMMENT.sub('""', line).rstrip()
    if _CODE.fullmatch(bare):
        return True
    return bool(_LIKE_CODE.fullmatch(bare)) and not _PROSE.search(bare)
