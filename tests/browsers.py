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


def cut_off(tab):
    """Return what of the page reaches beyond the screen: the text or the name of each element."""
    return tab.evaluate("""() => [document.documentElement, ...document.querySelectorAll(
      "button, dd, dt, h1, h2, h3, p, label, td, th, select, figcaption, a, li, b, code, img, svg")]
      .filter((one) => one === document.documentElement ? one.scrollWidth > innerWidth
        : one.offsetParent && !one.closest("[hidden]")
          && one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one === document.documentElement ? "the page" : one.id || one.textContent)""")


def counted_clicks(tab):
    """Return a function that tells how often mouse or finger went down since it was asked last."""
    tab.evaluate("""() => { window.downs = 0;
      addEventListener("pointerdown", () => { window.downs += 1; }, true); }""")
    return lambda: tab.evaluate("() => { const told = downs; window.downs = 0; return told; }")
