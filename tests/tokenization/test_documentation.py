"""Documentation to plain text, and plain text to its first sentence."""

import time

import pytest
from open_codesage.tokenization import LANGUAGES
from open_codesage.tokenization.conventions import CONVENTIONS
from open_codesage.tokenization.documentation import clean, summarize


def summary(raw: str, convention: str = "docstring", name: str = "f") -> str:
    return summarize(clean(raw, CONVENTIONS[convention]), CONVENTIONS[convention], name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Does a thing. Then more.", "Does a thing."),
        ("Does a thing", "Does a thing"),
        ("Does a\n    thing\n\n    More.", "Does a thing"),
        ("Does it? Yes.", "Does it?"),
        ("Does it! Yes.", "Does it!"),
        ("Reads e.g. files, i.e. bytes. More.", "Reads e.g. files, i.e. bytes."),
        ("Needs version 3.11.2 of it. More.", "Needs version 3.11.2 of it."),
        ("Calls foo.bar() and os.path. More.", "Calls foo.bar() and os.path."),
        ("Reads files, pipes, etc. and more. More.", "Reads files, pipes, etc. and more."),
        ("Reads files, pipes, etc. More.", "Reads files, pipes, etc."),
        ("Smith et al. Found it. More.", "Smith et al. Found it."),
        ("Compares A vs. B (cf. Knuth). More.", "Compares A vs. B (cf. Knuth)."),
        ('Says "stop." Then goes on.', 'Says "stop."'),
        ("Waits... Then goes on.", "Waits..."),
        ("Sorts by:\n  - name\n  - age", "Sorts by"),
        ("Sorts by\n  1. name\n  2. age", "Sorts by"),
        ("- Sorts by name.", "Sorts by name."),
        ("f(a, b=1) -> list of str\n\nSplits it. More.", "Splits it."),
        ("f(a) => b\nf() => c\n\nSplits it.", "Splits it."),
        ("f(a) -- splits it. More.", "splits it."),
        ("f: splits it.", "splits it."),
        ("g(a) splits it.", "g(a) splits it."),
        ("", ""),
        ("  \n ", ""),
    ],
)
def test_first_sentence(text, expected):
    assert summary(f'"""{text}"""') == expected


@pytest.mark.parametrize(
    "section",
    [
        "Args:\n        x: it",
        "Returns:\n        it",
        "Parameters\n    ----------\n    x : int",
        "Other Parameters\n    ================\n    x : int",
        ":param x: it",
        ":returns: it",
        "@param x: it",
        "@return: it",
        ">>> f(1)\n    2",
        ".. note:: it",
    ],
)
@pytest.mark.parametrize("gap", ["\n    ", "\n\n    "])
def test_sections_end_the_description(section, gap):
    assert summary(f'"""Does a thing{gap}{section}\n    """') == "Does a thing"
    assert summary(f'"""{section}\n    """') == ""


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("'Does :func:`~a.b.c` and :class:`D <a.D>` and `e <x>`_ and ``f()``.'", "Does c and D and e and f()."),
        ("'Does *this* and **that**, a * b and **kwargs.'", "Does this and that, a * b and **kwargs."),
        ("'Does L{this} of C{that}.'", "Does this of that."),
        ("'Does `~a.b.C` of |Table|, |x| and |A|B|.'", "Does C of Table, |x| and |A|B|."),
        ("'Does it [1]_ as [Knuth1997]_ says [#]_, a[1] of b[1]_.'", "Does it as Knuth1997 says, a[1] of b[1]_."),
        ("r'Splits at \\n.'", "Splits at \\n."),
        ("'Splits \\\n at \\'x\\' \\d.'", "Splits at 'x' \\d."),
        ("u'Does ' 'it.'", "Does it."),
        ("'''Does \"it\".'''", 'Does "it".'),
        ("'Reads <b>x</b> < y > z, <a href=\"u\">here</a>.'", "Reads x < y > z, here."),
        ("'See https://example.org/a_(b)?c=d, or ftp://x.y.'", "See , or ."),
        ("'Reads it (see https://example.org).'", "Reads it."),
        ("'Reads it See https://example.org'", "Reads it"),
        (
            "'Reads _all_ of %%it%%, [[Name]] and __init__ and a_b_c (PRIVATE).'",
            "Reads all of it, Name and __init__ and a_b_c.",
        ),
        ("'Itâ€™s a schÃ¶n test.'", "It's a schön test."),
    ],
)
def test_docstring_markup(raw, expected):
    assert summary(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/** Does a thing. More. */", "Does a thing."),
        ("/**\n * Does a\n * thing\n *\n * More.\n */", "Does a thing"),
        ("/**\r\n * Does a\r\n * thing.\r\n */", "Does a thing."),
        ("/**\n   Does a thing\n   @param x it\n */", "Does a thing"),
        ("/** @return it */", ""),
        ("/** {@inheritDoc} */", ""),
        ("/** {@return the size} More. */", "Returns the size."),
        ("/** Calls {@link A#b(int, C) it}, {@link A#b(int)}, {@link #b}, {@link A}s. */", "Calls it, A.b, b, As."),
        ("/** Gives {@code List<String>} or {@literal {a}} of {@value #B}. */", "Gives List<String> or {a} of B."),
        ("/** Gives &lt;b&gt; &amp; <code>x</code>.<p>More. */", "Gives <b> & x."),
        ("/** Does it<p>More. */", "Does it"),
        ("/** Does it:<ul><li>a<li>b</ul> */", "Does it"),
        ("/***** Does it. *****/", "Does it."),
        ("/** a\n ** b * c\n */", "a b * c"),
    ],
)  # fmt: skip
def test_javadoc_markup(raw, expected):
    assert summary(raw, "javadoc") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/**\n * f() - do a thing\n * @a: it\n *   and more\n *\n * More.\n */", "do a thing"),
        ("/**\n * __f - do a thing\n * Return: 0\n */", "do a thing"),
        ("/**\n * f: (skip) (rename-to g)\n * @a: it\n *\n * Gives a\n * #Tab or %NULL.\n */", "Gives a Tab or NULL."),
        ("/**\n * f:\n * @name: it\n * @result: that\n *\n * Does @name.\n *\n * Returns: it\n */", "Does name."),
        ("/**\n * @due may be %NULL; &struct date, 50% of it.\n */", "due may be NULL; struct date, 50% of it."),
        ("/*! \\brief Does a \\c thing, see @ref x \"that\".\n \\param a it\n*/", "Does a thing, see that."),
        ("/*!\n    \\fn int f()\n    \\since 4.2\n\n    Does it.\n    \\sa g\n*/", "Does it."),
        ("/// @brief Does a thing\n/// and more.\n///\n/// @param a it", "Does a thing and more."),
        ("//! Does \\f$ x \\f$ it.\n//! \\internal Not this.", "Does x it."),
        ("//!< Does it.", "Does it."),
        ("// static\n// Does it.", "Does it."),
        ("/* Does\n** it.\n*/", "Does it."),
        ("/* ----- *\n * f --       *\n *            *\n *   Does it. *\n * Results:   *\n * ----- */", "Does it."),
        ("/*\n * f\n *\t\tDoes it.\n */", "Does it."),
        ("/* f: does it; \"a...\" or b. More. */", 'does it; "a..." or b.'),
        ("/*\n * Class:     A\n * Method:    f\n * Signature: ()V\n */", ""),
        ("/** @returns it */", ""),
        ("/* NOLINT(a) */", ""),
        ("/************/", ""),
    ],
)  # fmt: skip
def test_markup_of_c(raw, expected):
    assert summary(raw, "doxygen") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("# Calls {callbacks} ({empty?}) of {Name#member}.", "Calls callbacks (empty?) of Name#member."),
        ("# Gets /a/{name}, {a}/b and #{x} of map{y}.", "Gets /a/{name}, {a}/b and #{x} of map{y}."),
    ],
)
def test_markup_of_ruby(raw, expected):
    assert summary(raw, "rdoc") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("// F godoc\n// @Summary      Shows an account\n// @Tags a\n// @Router /a/{id} [get]", "Shows an account"),
        ("// F shows an account.\n// @Description More of it.\n// @Router /a [get]", "F shows an account."),
        ('// @Description Shows an account\n// @Param id path int true "ID"', "Shows an account"),
        ('// @Title Shows an account\n// @Param id path int true "ID"', "Shows an account"),
        ("/*\nF godoc\n@Summary Shows an account\n@Router /a [get]\n*/", "Shows an account"),
        ("// @Router /a [get]\n// @Success 200 {object} A", ""),
        (
            "// swagger:operation GET /a a repoGet\n// ---\n// summary: Shows an account\n// produces:\n// - x",
            "Shows an account",
        ),
        ("// swagger:operation GET /a a repoGet\n// ---\n// produces:\n// - application/json", ""),
        (
            "// swagger:route GET /a a listA\n//\n// Lists the accounts.\n//\n// responses:\n//   200: ok",
            "Lists the accounts.",
        ),
        ("// F lists the accounts.\n// swagger:route GET /a a listA", "F lists the accounts."),
        ("// swagger:meta", ""),
        ("// swagger:parameters a b", ""),
        (
            "// +kubebuilder:rbac:groups=a,verbs=get;list\n// +k8s:deepcopy-gen=true\n// F lists the accounts.",
            "F lists the accounts.",
        ),
        ("//+kubebuilder:object:root=true\n//+genclient\n// F lists the accounts.", "F lists the accounts."),
        ("/*\n+kubebuilder:validation:Optional\nF lists the accounts.\n*/", "F lists the accounts."),
        ("//go:generate mockgen -source=a.go\n// F lists the accounts.\n//nolint:all // why", "F lists the accounts."),
        ("// go:generate mockgen -source=a.go", ""),
        ("//counterfeiter:generate . A\n//lint:ignore U1000 why\n// F lists the accounts.", "F lists the accounts."),
        ("// #nosec G101\n// F lists the accounts.", "F lists the accounts."),
        ("// F lists the accounts of name@example.com and a+b.", "F lists the accounts of name@example.com and a+b."),
    ],
)
def test_annotations_of_go(raw, expected):
    assert summary(raw, "godoc", "F") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "/// Returns the **larger** of `a` and [b][Class#b(int)].\n///\n/// @param a it",
            "Returns the larger of a and b.",
        ),
        ("/// Calls [#run()] of [Class#run(int, int)] and [Class], a[i].", "Calls run of Class.run and Class, a[i]."),
        ("/// Does it\n/// ```java\n/// f();\n/// ```", "Does it"),
        ("/// Does {@code it} of {@link A#b}.\n/// # More", "Does it of A.b."),
        ("/// @return it", ""),
    ],
)
def test_markdown_of_java(raw, expected):
    assert summary(raw, "javadoc") == expected


MARKS = [
    "===== Public functions of the package =====",
    "---------- Helpers that are used by all ----------",
    "---- Helpers of the class",
    "Helpers of the class ----",
    "~~~~~ Helpers of the class ~~~~~",
    "*** Helpers of the class ***",
    "+-+-+-+ Helpers +-+-+-+",
    "{{{ proto int foo(int a)",
    "{{{ foo_bar()",
    "{{{",
    "}}}",
    "}}} end of foo",
    "region Helpers of the class",
    "#region Helpers",
    "endregion",
    "#endregion Helpers",
    '<editor-fold desc="Helpers of the class">',
    "MARK: - Helpers of the class",
    "#pragma mark - Helpers",
    "GET /users/1",
    "PUT, PATCH /users/:id",
    "eslint-disable no-console",
    "NOSONAR why",
    "phpcs:disable A",
]
COMMENTS = {"doxygen": "// {}", "godoc": "// {}", "rdoc": "# {}", "javadoc": "/// {}", "xmldoc": "/// {}"}


@pytest.mark.parametrize("convention", sorted(CONVENTIONS.keys() - {"docstring"}))
@pytest.mark.parametrize("mark", MARKS)
def test_marks_are_no_documentation(convention, mark):
    line = COMMENTS.get(convention, " * {}")
    around = "{}" if convention in COMMENTS else "/**\n{}\n */"
    assert summary(around.format(line.format(mark)), convention) == ""
    described = "\n".join(map(line.format, (mark, "Adds the price to the sum.")))
    assert summary(around.format(described), convention) == "Adds the price to the sum."


@pytest.mark.parametrize(
    "text",
    [
        "The region of the sum - or of the price - is given.",
        "region of interest is found in it.",
        "Reads a --- b and c.",
        "GET /users/1 shows the user.",
        "Adds {{{ and }}} around it.",
        "MARK is what it reads.",
        "Reads -- and writes.",
    ],
)
@pytest.mark.parametrize("convention", COMMENTS)
def test_a_description_that_names_a_mark_stays(convention, text):
    assert summary(COMMENTS[convention].format(text), convention) == text


def test_what_stands_behind_the_mark_of_a_fold_is_documentation():
    assert summary("/* {{{ Adds the price to the sum. */", "doxygen") == "Adds the price to the sum."
    raw = "/* {{{ proto int add(int a)\n   Adds the price to the sum. */"
    assert summary(raw, "doxygen") == "Adds the price to the sum."
    assert summary("/********** Helpers of the class **********/", "doxygen") == ""
    assert summary("/********** Adds the price to the sum. **********/", "doxygen") == "Adds the price to the sum."


def test_documentation_keeps_lines_and_sections():
    raw = '"""Does a thing.\n\n    Args:\n        x: it\n\n\n\n    More.   \n    """'
    assert clean(raw, CONVENTIONS["docstring"]) == "Does a thing.\n\nArgs:\n    x: it\n\nMore."


def test_every_row_has_a_convention():
    assert {row.convention for row in LANGUAGES.values()} <= set(CONVENTIONS)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    "part",
    [
        "*",
        "`",
        "{@link ",
        "{",
        "<",
        "<a ",
        "(",
        "f(",
        ". ",
        ": ",
        " ",
        "\n",
        "\n*",
        "@a ",
        "'",
        '"""',
        "\\",
        "-",
        "http://",
        "[",
        "#",
    ],
)
def test_long_documentation_takes_no_long_time(convention, part):
    start = time.process_time()
    summary("/**" + part * 20_000, convention)
    assert time.process_time() - start < 5
