"""Tables of Markdown: any value stays in its cell."""

from open_codesage.train.common.markdown import table


def test_a_table_has_one_line_a_row_and_its_numbers_to_the_right():
    assert table(["name", "files", "share"], [["a|b\nc", 12345, "1.5 %"], ["d", None, 0.5]]) == [
        "| name | files | share |",
        "| --- | ---: | ---: |",
        r"| a\|b c | 12,345 | 1.5 % |",
        "| d |  | 0.5 |",
    ]
