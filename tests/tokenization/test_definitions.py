"""Functions that a reader finds at once: wrapped, made by macros, or behind what a grammar cannot read."""

import ast
import inspect
import warnings

import pytest
from open_codesage.tokenization import extract_functions, parse, rejection_reason
from open_codesage.tokenization.functions import survey
from open_codesage.tokenization.unreadable import blank_attributes, blank_nested_heredocs

JS_BODY = "{\n  const sum = x + 1;\n  log(sum);\n  return sum;\n}"
WRAPPED = [
    "export const show = memo(forwardRef((x, ref) => ‹›));",
    "const show = React.memo(React.forwardRef(function show(x, ref) ‹›));",
    "const show = observer(memo(forwardRef(useCallback(async (x) => ‹›, []))));",
    "export default React.memo(function show(x) ‹›);",
    "export const show = connect(mapState)(function show(x) ‹›);",
    "export const show = withStyles(styles)((x) => ‹›);",
    "const show = compose(first, second)(memo((x) => ‹›));",
    "export const show = createAsyncThunk('users/show', async (x) => ‹›);",
    "module.exports.show = asyncHandler(async (x) => ‹›);",
    "exports.show = wrap(debounce(function (x) ‹›, 100));",
    "show = lodash.throttle((x) => ‹›, 10);",
    "const show = /** @type {Show} */ ((x) => ‹›);",
    "const show = Object.assign((x) => ‹›, { displayName: 'Show' });",
]
FIELDS = [
    "show = debounce((x) => ‹›, 10);",
    "show = useCallback(async (x) => ‹›, []);",
    "#show = throttle(function (x) ‹›);",
]
TYPED = [
    "export const show = ((x: X) => ‹›) as Show;",
    "export const show = ((x: X) => ‹›) satisfies Show;",
    "const show = <Show>((x) => ‹›);",
    "const show = ((x) => ‹›)!;",
    "const show = memo<Props>(forwardRef<Element, Props>((x, ref) => ‹›)) as typeof Other;",
    "exports.show = function (x: X) ‹› as Show;",
    "const all = {\n/** Shows the sum to the user. */\nshow: ((x: X) => ‹›) satisfies Show,\n};",
]
TYPED_FIELDS = ["private readonly show = debounce((x: X) => ‹›, 10);", "show = ((x: X) => ‹›) as Show;"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *((language, text) for language in ("javascript", "typescript") for text in WRAPPED),
        *((language, f"class A {{\n‹doc›{text}\n}}") for language in ("javascript", "typescript") for text in FIELDS),
        *(("typescript", text) for text in TYPED),
        *(("typescript", f"class A {{\n‹doc›{text}\n}}") for text in TYPED_FIELDS),
    ],
)
def test_a_wrapped_function_is_found(language, text):
    documentation = "/** Shows the sum to the user. */\n"
    if "‹doc›" not in text and documentation not in text:
        text = f"‹doc›{text}"
    (function,) = extract_functions(text.replace("‹doc›", documentation).replace("‹›", JS_BODY), language)
    assert (function.name, function.summary) == ("show", "Shows the sum to the user.")
    assert function.hard_positive == "const sum = x + 1;\nlog(sum);"
    assert rejection_reason(function, language) is None


@pytest.mark.parametrize(
    "text",
    [
        "const sums = items.map((x) => ‹›);",
        "const timer = setTimeout((x) => ‹›, 3);",
        "const sum = useMemo((x) => ‹›, []);",
        "const sum = new Promise((x) => ‹›);",
        "const sum = ((x) => ‹›)(3);",
        "const sum = await load(async (x) => ‹›);",
        "const both = createSelector((x) => ‹›, (x) => ‹›);",
    ],
)
def test_a_value_that_a_function_gives_is_none(text):
    assert extract_functions("/** Shows the sum. */\n" + text.replace("‹›", JS_BODY), "typescript") == []


C_BODY = "\n{\n\tint sum = 1;\n\tlog(sum);\n\treturn sum;\n}"
MACROS = [
    "SYSCALL_DEFINE0(show)",
    "SYSCALL_DEFINE3(show, const char __user *, filename, int, flags)",
    "COMPAT_SYSCALL_DEFINE2(show, unsigned int, a)",
    "PHP_FUNCTION(show)",
    "PHP_METHOD(Cart, show)",
    "TEST_F(cart, show)",
    "TEST(cart, show)",
    "TYPED_TEST(cart, show)",
    "BENCHMARK_F(Cart, show)(benchmark::State& state)",
    "ATF_TC_BODY(show, tc)",
    "PYBIND11_MODULE(show, m)",
    "NAN_METHOD(show)",
]


@pytest.mark.parametrize("language", ["c", "cpp"])
@pytest.mark.parametrize(
    "around", ["‹›", "#ifdef A\n‹›\n#endif", 'extern "C" {\n‹›\n}', "int g(int a) { return a; }\n\n‹›\n"]
)
@pytest.mark.parametrize("macro", MACROS)
def test_a_function_made_by_a_macro_is_found(language, around, macro):
    text = around.replace("‹›", f"/* Shows the sum to the user. */\n{macro}{C_BODY}")
    (function,) = extract_functions(text, language)
    assert (function.name, function.summary) == ("show", "Shows the sum to the user.")
    assert function.code == macro + C_BODY
    assert function.hard_positive == "int sum = 1;\nlog(sum);"
    assert rejection_reason(function, language) == ("test" if "TEST" in macro else None)


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_a_loop_made_by_a_macro_is_no_function(language):
    loops = "\tLIST_FOREACH(a, b) {\n\t\tg(a);\n\t}\n#if A\n\tRB_FOREACH(a, b, c) { g(a); }\n#endif\n"
    text = f"int f(int a)\n{{\n{loops}}}\nSYSCALL_DEFINE2(x, int, b)\n{{\n{loops}}}\n"
    assert [f.name for f in extract_functions(text, language, documented_only=False)] == ["f", "x"]


@pytest.mark.parametrize("language", ["c", "cpp"])
@pytest.mark.parametrize(
    "head",
    [
        "int * __attribute__((used)) show(void)",
        "int *\n__attribute__((used)) show(void)",
        "char * __attribute__((format(printf, 1, 2))) __attribute__((nonnull)) show(const char *text, ...)",
        "const char * const * __attribute__((pure)) show(int a)",
        "int __attribute__((used)) * const show(int a)",
        "static struct cart *__attribute__((noinline, cold)) show(void)",
        "__attribute__((used)) static int show(void)",
        "int show(void) __attribute__((used))",
        "__declspec(dllexport) int * __cdecl show(int a)",
        "int __stdcall show(int a)",
        "int * __declspec(noinline) show(int a)",
        "int * WINAPI show(void)",
        "static void * __must_check show(int a)",
        "JNIEXPORT jint JNICALL show(JNIEnv *e)",
        "int (__cdecl show)(void)",
        "EXPORT int *CALLBACK show(int a)",
    ],
)
def test_a_name_behind_attributes_and_macros(language, head):
    (function,) = extract_functions(f"/* Shows the sum to the user. */\n{head}{C_BODY}", language)
    assert function.name == "show"
    assert function.code == head + C_BODY


def test_a_name_behind_the_arguments_of_a_macro():
    (function,) = extract_functions(f"/* Shows it. */\nPyObject * PyAPI_FUNC(x) show(void){C_BODY}", "c")
    assert function.name == "show"


HEREDOCS = [
    "text = <<~ABC\n    Top\n    #{\n      <<~DEF\n        Middle\n      DEF\n    }\n    Bottom\n  ABC",
    "text = <<~ABC\n    #{call(<<~DEF)}\n      Middle #{name}\n    DEF\n    Bottom\n  ABC",
    'text = <<-"ABC".strip\n    #{rows.map { |row| <<-DEF }.join}\n      #{row}\n    DEF\n  ABC',
    "sql <<~ABC, <<~XYZ\n    #{if name\n        <<~DEF\n"
    "          Middle\n        DEF\n      end}\n  ABC\n    Last\n  XYZ",
    "text = <<~ABC\n    #{ { a: <<~DEF } }\n      Middle\n    DEF\n  ABC",
]


@pytest.mark.parametrize("heredoc", HEREDOCS)
def test_what_follows_a_nested_here_document_is_found(heredoc):
    method = "# Shows the sum of {0} to the user.\ndef {0}(name)\n  {1}\n  puts text\nend\n\n"
    text = method.format("first", heredoc).replace("{0}", "") + method.format("second", "text = 1")
    first, second = extract_functions(text, "ruby")
    assert (first.name, second.name) == ("first", "second")
    assert heredoc.split("\n")[1].strip() in first.code
    assert not parse(text, "ruby").unread()


@pytest.mark.parametrize("blank", [blank_attributes, blank_nested_heredocs])
@pytest.mark.parametrize(
    "piece",
    [
        "int * __attribute__((used)) ",
        "* __attribute__((",
        "* __declspec(",
        "(",
        "__",
        "x = <<~A\n #{<<~B}\n B\nA\n",
        "<<~A\n#{<<~B\n",
        "#{",
        "{<<~A",
        "}\n",
    ],
)
def test_blanks_keep_positions_and_take_linear_time(blank, piece):
    data = piece.encode() * 20_000
    blanked = blank(data)
    assert len(blanked) == len(data)
    assert [x for x in range(len(data)) if data[x] == 10] == [x for x in range(len(data)) if blanked[x] == 10]
    assert blank(b"int f(int *a)\n") == b"int f(int *a)\n"


DOCSTRINGS = [
    '"It does it."',
    "'''It\n    does it.'''",
    '("It does it.")',
    '((("It does it.")))',
    '("It " "does it.")',
    "\"It \" 'does it.'",
    '("It "  # it\'s\n     "does it.")',
    '"It " \\\n     "does it."',
    'r"It does \\it."',
    'u"It does it."',
    'R"It does it."',
    '"\\x49t does\\u0020it."',
    '"It does it."; x = 1',
    '("It does it."); x = 1',
    '(  # first\n     "It does it."\n    )',
    'b"It does it."',
    'rb"It does it."',
    'f"It does it."',
    '"It " f"does it."',
    '("It " f"{x} it.")',
    '"It " + "does it."',
    '("It " + "does it.")',
    '"It does it.",',
    '("It does it.",)',
    '("It %s it." % 1)',
    '"It does it.".strip()',
    '["It does it."]',
    'text = "It does it."',
    '("It does it." if x else "")',
    '(lambda: "It does it.")',
    '("It "\n     # c\n     f"does it.")',
    '"" "It does it."',
    '""',
]
HEADS = [
    "def f(x):\n    {}\n    y = 1\n    return y\n",
    "def f(x):\n    # c\n\n    {}\n    y = 1\n    return y\n",
    "@dec\nasync def f(x): {}\n",
    "def f(x):\n    {}\n",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("literal", DOCSTRINGS)
def test_a_docstring_is_what_python_takes_for_one(literal, head):
    text = head.format(literal)
    definitions: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(ast.parse(text.replace("@dec\n", "")), "text", "exec"), definitions)
    documentation = definitions["f"].__doc__
    (function,) = extract_functions(text, "python", documented_only=False)
    assert function.documentation == inspect.cleandoc(documentation or "")
    if documentation:
        assert "it." not in function.code + function.hard_positive
    elif literal != '""':
        assert literal.split("\n")[0] in function.code


def test_tags_of_jsdoc_that_speak_of_functions_or_of_other_things():
    for tag, is_found in {
        "@module cart": True,
        "@event change": True,
        "@event change\n * @fires Cart#change": True,
        "@memberof Cart": True,
        "@namespace cart\n * @param {number} x it": True,
        "@namespace cart": False,
        "@typedef {object} Cart\n * @param {number} x it": False,
        "@fileoverview The cart.": False,
        "@constructor": False,
    }.items():
        text = f"/**\n * Shows the sum to the user.\n * {tag}\n */\nfunction show(x) {JS_BODY}"
        for language in ("javascript", "typescript"):
            assert [f.summary for f in extract_functions(text, language)] == ["Shows the sum to the user."] * is_found


def test_regions_that_are_not_read_are_told():
    source = parse("def f(x):\n    return x\n\n?? ) = (\n\ndef g(x):\n    return x\n", "python")
    assert [source.slice(*span).strip() for span in source.unread()] == ["?? ) = ("]
    assert survey(source).total == survey(source, documented_only=False).total == 2
    assert parse("def f(x):\n    return x\n", "python").unread() == []
