from src.reporting.markdown import markdown_table


def test_a_cell_stays_a_cell_and_is_no_html():
    assert markdown_table(["a", "b"], [["x|y", "<i>&\n1"]]) == (
        "| a | b |\n| --- | --- |\n| x\\|y | &lt;i>&amp; 1 |\n"
    )
