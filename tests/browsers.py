"""A real browser for tests of pages, and tabs whose console and requests are watched."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
ABSENT = f"there is no {' or '.join(NAMES)}"
SIZES = {"wide": (1400, 900), "narrow": (390, 844)}


def launch(playwright):
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=BROWSER, args=flags)


def open_tab(browser, size):
    """Open a tab of a desk in light or a phone in dark; return it, and what will be said and asked.

    `said` gets what its console says and its errors, `asked` the addresses of all requests.
    """
    width, height = SIZES[size]
    touch = {"has_touch": True, "is_mobile": True} if size == "narrow" else {}
    scheme = "dark" if size == "narrow" else "light"
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, **touch
    )
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda one: asked.append(one.url))
    return tab, said, asked
