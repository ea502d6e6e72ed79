"""The rules that no query can tell: what is a name of this file, and of which kind. See `identifiers.py`."""

import io
import itertools
import keyword
import re
import sysconfig
import tokenize
from bisect import bisect_right
from pathlib import Path

import pytest
from open_codesage.tokenization import decode, find_identifiers
from open_codesage.tokenization.identifiers import _ROLES
from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.tokenization.source import _resource

STDLIB = Path(sysconfig.get_path("stdlib"))


def found(text: str, language: str = "python") -> str:
    return " ".join(f"{x.name}:{x.kind}" for x in find_identifiers(text, language))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("print(len(x), end=y)", "x:variable y:variable", id="builtins are none"),
        pytest.param(
            "def print(x): print(x)", "print:function x:parameter print:function x:parameter", id="unless bound"
        ),
        pytest.param("def f(id): id\nid(x)", "f:function id:parameter id:parameter x:variable", id="where it is bound"),
        pytest.param("x.append(y)", "x:variable y:variable", id="nor are members of builtin types"),
        pytest.param(
            "class A:\n def append(s): s.append",
            "A:class append:function s:parameter s:parameter append:function",
            id="unless the file has them",
        ),
        pytest.param("class A:\n id = 1\nid(2)", "A:class id:attribute", id="a member hides no builtin"),
        pytest.param(
            "import a.b, c as d\na.b.e(a); d.f; c.g", "c:variable g:attribute", id="imports and their members"
        ),
        pytest.param("from a import b as c\nb(); c().d", "b:call d:attribute", id="imported under another name"),
        pytest.param(
            "try: import a\nexcept B: a = 1\na.b",
            "a:variable B:variable a:variable a:variable b:attribute",
            id="import or own",
        ),
        pytest.param(
            "import a\ndef f(a): a.b\na.c", "f:function a:parameter a:parameter b:attribute", id="hidden import"
        ),
        pytest.param("str.join(x); x.join", "x:variable x:variable", id="members of builtins"),
        pytest.param("g(); g; h", "g:call g:call h:variable", id="called somewhere"),
        pytest.param(
            "x: T = T(); y.m; y.m()",
            "x:variable T:type T:type y:variable m:call y:variable m:call",
            id="type somewhere",
        ),
        pytest.param(
            "def f(a): f(a=1, b=2)", "f:function a:parameter f:function a:parameter", id="keyword of own function"
        ),
        pytest.param("def f(a): g(a=1)", "f:function a:parameter g:call", id="keyword of another function"),
        pytest.param(
            "def f(a): g(f(a=a), a=f(2))",
            "f:function a:parameter g:call f:function a:parameter a:parameter f:function",
            id="nested calls",
        ),
        pytest.param(
            "def f(x): x\ndef g():\n x = 1\n def h(): x\nx",
            "f:function x:parameter x:parameter g:function x:variable h:function x:variable x:parameter",
            id="kind of the innermost scope",
        ),
        pytest.param(
            "def f(x): x = x + 1", "f:function x:parameter x:parameter x:parameter", id="parameter assigned again"
        ),
        pytest.param("class A: pass\nA = w(A)", "A:class A:class w:call A:class", id="class assigned again"),
        pytest.param("f'{a!r:>{b}} c {{d}}' 'e' rb'f' # g", "a:variable b:variable", id="text is text"),
        pytest.param("'a' if True else None; ...; 1j; lambda: 0", "", id="literals and keywords"),
        pytest.param(
            "match = 1; case = match; type = case; _ = print",
            "match:variable case:variable match:variable type:variable case:variable _:variable",
            id="soft keywords",
        ),
        pytest.param(
            "a = 1; self.a = a; b.a",
            "a:variable self:variable a:attribute a:variable b:variable a:attribute",
            id="same name, two kinds",
        ),
    ],
)
def test_python(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("String s = System.out.toString();", "s:variable", id="builtins are none"),
        pytest.param("class String { String s; }", "String:class String:class s:attribute", id="unless bound"),
        pytest.param("import a.b.C; C c = C.of(1).x;", "c:variable x:attribute", id="imports"),
        pytest.param("import static a.B.c; int e = c(d);", "e:variable d:variable", id="static imports"),
        pytest.param(
            "class A { int n; int n() { return n + n() + this.n; } }",
            "A:class n:attribute n:function n:attribute n:function n:attribute",
            id="field and method of one name",
        ),
        pytest.param(
            "int f(int f) { return f(f); }",
            "f:function f:parameter f:function f:parameter",
            id="method and parameter",
        ),
        pytest.param("@A(b = Cc.d) class E {}", "A:type Cc:type d:attribute E:class", id="annotations"),
        pytest.param(
            "foo(Bar.baz(), BAZ.x, bar::y);",
            "foo:call Bar:type baz:call BAZ:variable x:attribute bar:variable y:call",
            id="classes by convention",
        ),
        pytest.param("java.util.List<X> x = new com.a.B(y);", "X:type x:variable y:variable", id="qualified names"),
    ],
)
def test_java(text, expected):
    assert found(text, "java") == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        pytest.param(
            "c",
            "#define F(x) (g(x) + x.y->z + a.b ## x)",
            "F:function x:parameter g:call x:parameter x:parameter y:attribute z:attribute a:variable b:attribute "
            "x:parameter",
            id="text of a macro",
        ),
        pytest.param(
            "c",
            '#define S "x\\"y" \'z\' L"w" 0x1F 1.5e3f ...\\\n  if (t) while // v',
            "S:variable t:variable",
            id="strings, numbers and comments in it",
        ),
        pytest.param("c", "#pragma omp parallel\n#undef F\n#error bad", "F:variable", id="other directives"),
        pytest.param(
            "c",
            "API struct a *f(void) { return b; }\n" + "int g(void) { return c; }\n" * 4,
            "API:type a:type f:function b:variable" + " g:function c:variable" * 4,
            id="keywords taken for names",
        ),
        pytest.param(
            "c",
            "void f(struct stat *a) { struct tm tm; tm.b; }",
            "f:function a:parameter tm:variable tm:variable b:attribute",
            id="a tag is no variable",
        ),
        pytest.param(
            "cpp",
            "using std::set; set s; std::map<A, B> m; a::b();",
            "s:variable A:type B:type m:variable a:type b:call",
            id="names of the standard library",
        ),
        pytest.param(
            "cpp",
            "struct A { int n; int f() { return n + g(n); } };",
            "A:class n:attribute f:function n:attribute g:call n:attribute",
            id="members by their plain name",
        ),
    ],
)
def test_c_and_cpp(language, text, expected):
    assert found(text, language) == expected


def test_paper_example():
    """Figure 8 of the paper: what is obfuscated and what is not."""
    text = (
        "class Node:\n    def __init__(self, data):\n        self.data = data\n        self.next = None\n\n"
        "def show(node):\n    while node:\n        print(node.data, end=' ')\n        node = node.next\n"
    )
    names = {x.name for x in find_identifiers(text, "python")}
    assert names == {"Node", "__init__", "self", "data", "next", "show", "node"}


def test_names_of_the_standard_library_are_name_tokens():
    """Against an independent reading of the same files: Python's own tokenizer."""
    count = 0
    for path in sorted(STDLIB.glob("[a-h]*.py")):
        text = decode(path.read_bytes())
        identifiers = find_identifiers(text, "python")
        line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        starts = [line_starts[token.start[0] - 1] + token.start[1] for token in tokens]
        for identifier in identifiers:
            token = tokens[bisect_right(starts, identifier.start) - 1]
            if token.type == tokenize.STRING:
                # Before Python 3.12 this tokenizer takes an f-string for one token.
                assert "f" in re.match(r"\w*", token.string)[0].lower()
            else:
                assert (token.type, token.string) == (tokenize.NAME, identifier.name)
                assert not keyword.iskeyword(identifier.name)
        assert all(left.end <= right.start for left, right in itertools.pairwise(identifiers))
        count += len(identifiers)
    assert count > 30_000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("purpose", ["identifiers", "functions"])
def test_captures_of_the_queries_are_known(language, purpose):
    known = {
        "identifiers": {*_ROLES, "scope", "ignore", "arguments", "element", "unparsed"},
        "functions": {
            *("function", "name", "body", "wrapped", "documentation", "undocumented", "comment", "annotation"),
            *("return", "closure"),
        },
    }
    for grammar in LANGUAGES[language].grammars:
        text = _resource(LANGUAGES[language], [grammar], f"{purpose}.scm")
        code = re.sub(r";.*", "", text)
        for_predicates = set(re.findall(r"\(#[\w-]+\?\s+@([\w.-]+)", code))
        assert set(re.findall(r"@([\w.-]+)", re.sub(r'"[^"]*"', "", code))) <= known[purpose] | for_predicates
        # py-tree-sitter ignores this predicate without a word.
        assert "#not-any-of?" not in code
