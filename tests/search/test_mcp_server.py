"""The server answers the SDK's own client over standard input and output."""

import sys

import anyio
import pytest

mcp = pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters, stdio_client  # noqa: E402


def talk(tree, model, *calls):
    """Answers of a server in a process of its own: whether each is an error, and its text."""
    arguments = ["-m", "open_codesage.train.cli", "mcp", str(tree), "--model", model, "--index", str(tree.parent / "i")]
    script = "import sys; from open_codesage.train.cli import main\nif __name__ == '__main__': sys.exit(main())"
    file = tree.parent / "serve.py"
    file.write_text(script)
    server = StdioServerParameters(command=sys.executable, args=[str(file), *arguments[2:]])

    async def ask():
        answers = []
        async with Client(stdio_client(server)) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            for name, given in calls:
                result = await client.call_tool(name, given)
                answers.append((bool(result.is_error), "".join(part.text for part in result.content)))
        return tools, answers

    return anyio.run(ask)


def test_a_session_of_a_client(tree, model):
    (tree / "later.py").write_text("def close_the_gate():\n    return 'shut'\n")
    outside = tree.parent / "secret.py"
    outside.write_text("x = 1\n")
    tools, answers = talk(
        tree,
        model,
        ("search_code", {"query": "close the gate"}),
        ("search_code", {"query": "door", "path": "pkg"}),
        ("search_code", {"query": "door", "path": str(outside)}),
        ("search_code", {"query": "door", "path": "../"}),
        ("search_code", {"query": " "}),
        ("search_code", {"query": "door", "limit": 0}),
        ("find_related", {"file": "area.py", "line": 7, "limit": 2}),
        ("find_related", {"file": str(outside), "line": 1}),
        ("index_status", {}),
    )
    assert tools == {"search_code", "find_related", "index_status"}
    found, below, *refused, related, elsewhere, status = answers
    assert not found[0]
    assert found[1].startswith(f"{tree / 'later.py'}:1-2: function close_the_gate\ndef close_the_gate():")
    assert not below[0]
    assert str(tree / "pkg") in below[1]
    assert "area.py" not in below[1]
    assert all(is_error for is_error, _ in (*refused, elsewhere))
    assert "outside of what this server may search" in refused[0][1]
    assert "outside of what this server may search" in elsewhere[1]
    assert "the query is empty" in refused[2][1]
    assert not related[0]
    assert "area.py:6" not in related[1]
    assert "1 left out as document: README.md" in status[1]
