"""The page about the data in a real browser."""

import pandas as pd
import pytest

from tests.browsers import ABSENT, BROWSER, SIZES, cut_off, launch, open_tab
from tests.stages.test_data_report import folder, run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=ABSENT),
]
__all__ = ["folder"]  # a fixture
LONG = f"train/images/{'a_very_long_name_' * 6}.png"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_off(folder, size):
    table = pd.DataFrame({"file": [LONG], "reason": ["it is no image"]})
    table.to_csv(folder / "prepared/rejected.csv", index=False)
    run(folder)
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        tab, said, asked = open_tab(browser, size)
        tab.goto((folder / "data.html").as_uri())
        assert tab.locator("td", has_text=LONG).is_visible()
        assert cut_off(tab) == []
        assert said == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        browser.close()
