"""Where documentation may stand: in every position it is attached to its function and gone from all code."""

import pytest
from open_codesage.tokenization import LANGUAGES, extract_functions

SAYS = "Adds the price to the sum of the cart"
BODIES = {
    "python": "    total = price + 1\n    log(total)\n",
    "ruby": "  total = price + 1\n  log(total)\nend\n",
    "go": " {\n\ttotal := price + 1\n\tlog(total)\n}\n",
    "php": " {\n    $total = $price + 1;\n    log($total);\n}\n",
}
BODY = " {\n    total = price + 1;\n    log(total);\n}\n"


def doc(form: str = "/** {} */") -> str:
    return form.format(f"{SAYS}.")


BLOCK, XML = doc(), doc("/// <summary>{}</summary>")
PLAIN, SLASHES, HASH = doc("/* {} */"), doc("// {}"), doc("# {}")

# In each text ‹body› stands for the rest of the function.
POSITIONS = [
    ("c", f"static\n{PLAIN}\nint add(int price)‹body›"),
    ("c", f"static {PLAIN} int add(int price)‹body›"),
    ("c", f"int\n{PLAIN}\nadd(int price)‹body›"),
    ("c", f"struct cart *\n{BLOCK}\nadd(int price)‹body›"),
    ("c", f"EXPORT_SYMBOL\n{BLOCK}\nint add(int price)‹body›"),
    ("c", f"__attribute__((used))\n{PLAIN}\nstatic int add(int price)‹body›"),
    ("c", f"[[nodiscard]]\n{SLASHES}\nint add(int price)‹body›"),
    ("c", f"int add(int price)\n{PLAIN}‹body›"),
    ("c", f"int add(int price) {BLOCK}‹body›"),
    ("cpp", f"template <class T>\n{doc('/// {}')}\nT add(T price)‹body›"),
    ("cpp", f"template <class T> {BLOCK} inline T add(T price)‹body›"),
    ("cpp", f"[[nodiscard]]\n{SLASHES}\nint add(int price)‹body›"),
    ("cpp", f"struct Cart {{\n  virtual\n  {BLOCK}\n  int add(int price) const override‹body›}};"),
    ("cpp", f"int Cart::add(int price)\n{SLASHES}\n‹body›"),
    ("cpp", f"static auto add(int price) {doc('/*! {} */')} -> int‹body›"),
    ("cpp", f'extern "C"\n{PLAIN}\nint add(int price)‹body›'),
    ("csharp", f"class Cart {{\n  [Obsolete]\n  {XML}\n  public int Add(int price)‹body›}}"),
    ("csharp", f"class Cart {{\n  [A, B(1)] [C]\n  {XML}\n  public static int Add(int price)‹body›}}"),
    ("csharp", f"class Cart {{\n  public\n  {XML}\n  static async Task<int> Add(int price)‹body›}}"),
    ("csharp", f"class Cart {{\n  public int {BLOCK} Add<T>(int price) where T : class‹body›}}"),
    ("csharp", f"class Cart {{\n  public int Add<T>(int price)\n  {XML}\n  where T : class‹body›}}"),
    ("go", f"func {PLAIN} Add(price int) int‹body›"),
    ("go", f"func (c *Cart) {PLAIN} Add(price int) int‹body›"),
    ("go", f"func {PLAIN} Add[T any](price T) T‹body›"),
    ("java", f"class Cart {{\n  @Override\n  {BLOCK}\n  public int add(int price)‹body›}}"),
    ("java", f'class Cart {{\n  @Deprecated {BLOCK} @SuppressWarnings({{"a", "b"}})\n  int add(int price)‹body›}}'),
    ("java", f"class Cart {{\n  public\n  {BLOCK}\n  static final int add(int price)‹body›}}"),
    ("java", f"class Cart {{\n  public <T> {BLOCK} int add(T price)‹body›}}"),
    ("java", f"class Cart {{\n  int {BLOCK} add(int price)‹body›}}"),
    ("java", f"class Cart {{\n  int add(int price) {BLOCK} throws E‹body›}}"),
    ("java", f"class Cart {{\n  @Test\n  {doc('/// {}')}\n  ///\n  /// @param price it\n  int add(int price)‹body›}}"),
    ("javascript", f"export {BLOCK} function add(price)‹body›"),
    ("javascript", f"export default {BLOCK} async function add(price)‹body›"),
    ("javascript", f"async {BLOCK} function add(price)‹body›"),
    ("javascript", f"function {BLOCK} add(price)‹body›"),
    ("javascript", f"function add(price) {BLOCK}‹body›"),
    ("javascript", f"const add = {BLOCK} async (price) =>‹body›"),
    ("javascript", f"exports.add = {BLOCK} function (price)‹body›"),
    ("javascript", f"class Cart {{\n  static {BLOCK} async add(price)‹body›}}"),
    ("javascript", f"class Cart {{\n  @logged\n  {BLOCK}\n  add(price)‹body›}}"),
    ("javascript", f"const cart = {{\n  add: {BLOCK} function (price)‹body›}};"),
    ("javascript", f"const add = memo({BLOCK} (price) =>‹body›);"),
    ("typescript", f"class Cart {{\n  @Logged()\n  {BLOCK}\n  public add(price: number): void‹body›}}"),
    ("typescript", f"class Cart {{\n  @Logged() {BLOCK} add(price: number): void‹body›}}"),
    ("typescript", f"class Cart {{\n  private {BLOCK} static async add(price: number): Promise<void>‹body›}}"),
    ("typescript", f"class Cart {{\n  add<T>(price: T) {BLOCK} : void‹body›}}"),
    ("typescript", f"export const add = {BLOCK} ((price: number) =>‹body›) as Adder;"),
    ("typescript", f"export default {BLOCK} function add(price: number)‹body›"),
    ("php", f"<?php\n#[Pure]\n{BLOCK}\nfunction add($price)‹body›"),
    ("php", f"<?php\nclass Cart {{\n  #[A, B(1)]\n  {BLOCK}\n  public static function add($price)‹body›}}"),
    ("php", f"<?php\nclass Cart {{\n  public {BLOCK} static function add($price)‹body›}}"),
    ("php", f"<?php\nclass Cart {{\n  final\n  {BLOCK}\n  protected function add($price)‹body›}}"),
    ("php", f"<?php\nfunction add($price) {BLOCK} : int‹body›"),
    ("ruby", f"memoize(\n  {HASH}\n  def add(price)\n‹body›)"),
    ("ruby", f"class Cart\n  private\n  {HASH}\n  def add(price)\n‹body›end"),
    ("ruby", f"class Cart\n  sig {{ params(price: Integer).void }}\n  {HASH}\n  def add(price)\n‹body›end"),
    ("ruby", f"private_class_method \\\n  {HASH}\n  def self.add(price)\n‹body›"),
    ("python", f'@logged\n@once\ndef add(price):\n    """{SAYS}."""\n‹body›'),
]


def written(language: str, text: str) -> str:
    return text.replace("‹body›", BODIES.get(language, BODY))


@pytest.mark.parametrize(("language", "text"), POSITIONS)
def test_documentation_in_a_header_is_attached_and_removed(language, text):
    (function,) = extract_functions(written(language, text), language)
    assert function.summary == f"{SAYS}."
    assert function.name.lower().endswith("add")
    assert SAYS not in function.code + function.hard_positive
    assert "price" in function.code  # Nothing else is gone:
    without = written(language, text.replace(text[text.index(SAYS) :].split(".", 1)[0], "x", 1))
    (plain,) = extract_functions(without, language, documented_only=False)
    assert plain.hard_positive == function.hard_positive
    assert not function.has_error or plain.has_error


def test_every_language_is_tried():
    assert {language for language, _ in POSITIONS} == set(LANGUAGES)


OUTER = {
    "java": (
        "/** Makes the runner that is used here. */\nRunnable make(int words) {{\n"
        "  start();\n  return new Runnable() {{\n{}\n  }};\n}}"
    ),
    "javascript": (
        "/** Makes the runner that is used here. */\nfunction make(words) {{\n  start();\n  return {{\n{}\n  }};\n}}"
    ),
    "typescript": (
        "/** Makes the runner that is used here. */\n"
        "function make(words) {{\n  start();\n  return class {{\n{}\n  }};\n}}"
    ),
    "php": (
        "<?php\n/** Makes the runner that is used here. */\n"
        "function make($words) {{\n  start();\n  return new class {{\n{}\n  }};\n}}"
    ),
    "cpp": (
        "/** Makes the runner that is used here. */\nint make(int words) {{\n"
        "  start();\n  struct Run {{\n{}\n  }};\n  return 1;\n}}"
    ),
    "csharp": (
        "class A {{\n/// <summary>Makes the runner that is used here.</summary>\n"
        "int Make(int words) {{\n  start();\n{}\n  return 1;\n}}\n}}"
    ),
    "python": 'def make(words):\n    """Makes the runner that is used here."""\n    start()\n{}\n    return 1\n',
    "ruby": "# Makes the runner that is used here.\ndef make(words)\n  start\n{}\n  1\nend",
    "go": ("// Makes the runner that is used here.\nfunc make(words int) int {{\n\tstart()\n{}\n\treturn 1\n}}"),
}
INNER = [
    ("java", "    @Override\n    /** Runs the words that are inner. */\n    public void run() { go(); stop(); }"),
    ("java", "    /** Holds the words that are inner. */\n    private int held = 0;\n    public void run() { go(); }"),
    ("java", "    public void run(/** The words that are inner. */ int a) { go(); }"),
    ("javascript", "    async /** Runs the words that are inner. */ run() { go(); stop(); },"),
    ("javascript", "    /** Runs the words that are inner. */\n    [name]() { go(); stop(); },"),
    ("javascript", "    run: debounce(/** Runs the words that are inner. */ () => { go(); stop(); }, 1),"),
    ("typescript", "    @Logged()\n    /** Runs the words that are inner. */\n    run(): void { go(); stop(); }"),
    ("typescript", "    constructor(/** The words that are inner. */ private a: string) { go(); }"),
    ("typescript", "    /** Gives the words that are inner. */\n    get words() { return go(); }"),
    ("php", "    #[A]\n    /** Runs the words that are inner. */\n    public function run() { go(); stop(); }"),
    ("php", "    /** Holds the words that are inner. */\n    private $held = 0;"),
    ("cpp", "    virtual\n    /// Runs the words that are inner.\n    int run() { go(); stop(); }"),
    (
        "cpp",
        "    /// Makes the words that are inner.\n    Run() { go(); stop(); }\n"
        "    int held;  ///< The words that are inner.",
    ),
    ("csharp", "  static\n  /// <summary>Runs the words that are inner.</summary>\n  void Run() { Go(); Stop(); }"),
    ("python", '    class Run:\n        ("Runs the words " "that are inner.")\n        held = 1'),
    ("python", "    @once\n    async def run():\n        (('''Runs the words that are inner.'''))\n        go()"),
    ("ruby", "  private(\n    # Runs the words that are inner.\n    def run\n      go\n      stop\n    end\n  )"),
]


@pytest.mark.parametrize(("language", "inner"), INNER)
def test_documentation_of_what_is_inside_does_not_leak(language, inner):
    text = OUTER[language].format(inner)
    functions = extract_functions(text, language, documented_only=False)
    outer = next(function for function in functions if function.name.lower() == "make")
    assert outer.summary == "Makes the runner that is used here."
    assert "start" in outer.hard_positive
    for function in functions:
        assert "inner" not in function.code + function.hard_positive


@pytest.mark.parametrize(
    ("language", "text"),
    [
        # Documentation of parameters, of what stands before, or comments in the body.
        ("java", "class A { void f(/** The first of the words. */ int a) { go(); } }"),
        ("java", "class A { @B(/** The first of the words. */ 1) void f(int a) { go(); } }"),
        ("typescript", "function f({ a }: { /** The first of the words. */ a: string }) { go(); }"),
        ("c", "int f(int a /* the first of the words */, int b)\n{ go(); }"),
        (
            "c",
            "int\nf(a, b)\n\tint a;\t/* the first of the words */\n"
            "\tchar *b;\n\t/* the second of the words */\n{ go(); }",
        ),
        ("c", "int\nf(\n\tint a,\t/* the first of the words */\n\tint b)\t/* the second of the words */\n{ go(); }"),
        ("c", "static int\t/* the first of the words */\nf(int a)\n{ go(); }"),
        ("c", "static int // the first of the words\nf(int a) /* the second of the words */ { go(); }"),
        ("go", "func F(a int) /* the first of the words */ int { go_() }"),
        ("c", "int x; /* the first of the words */\nint f(int a)\n{ go(); }"),
        ("cpp", "template <class T /* the first of the words */>\nint f(T a)\n{ go(); }"),
        ("go", "func f(a int, // the first of the words\n\tb int) {\n\tgo_()\n}"),
        ("ruby", "def f(a)\n  # The first of the words is gone.\n  go\nend"),
        ("ruby", "def f(a) # the first of the words\n  go\nend"),
        ("ruby", "sig do\n  # the first of the words\n  params(a: Integer).void\nend\ndef f(a)\n  go\nend"),
        ("csharp", "class A { [B(/** The first of the words. */ 1)] void F(int a) { Go(); } }"),
        ("php", "<?php function f(/** The first of the words. */ $a) { go(); }"),
        ("javascript", "function f(a = /** The first of the words. */ 1) { go(); }"),
        ("javascript", "const f = /** @type {First} of the words */ ((a) => { go(/** @type {B} */ (a)); });"),
        ("java", "class A { @Override // The first of the words.\n void f() { go(); } }"),
        ("python", "@a\n# The first of the words.\ndef f(x):\n    go()\n"),
    ],
)
def test_what_documents_no_function(language, text):
    (function,) = extract_functions(text, language, documented_only=False)
    assert function.documentation == ""


def test_what_is_left_of_a_line_is_set_as_before():
    text = (
        "class A {\n  @B /** Does it. */ @C\n  public\n"
        "  /** Does more. */ void f(/** It. */ int a, /** That. */ int b) { g(); }\n}"
    )
    (function,) = extract_functions(text, "java")
    assert function.code == "@B @C\npublic\nvoid f(int a, int b) { g(); }"
    assert function.documentation == "Does it.\n\nDoes more."
