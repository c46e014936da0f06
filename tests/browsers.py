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
    """Return what of the page reaches beyond the screen: each text, or the name of an element.

    `innerWidth` does not tell the screen: a phone makes it as wide as what is too wide.
    """
    return tab.evaluate(
        """(width) => {
          const found = document.documentElement.scrollWidth > width ? ["the page"] : [];
          const seen = (one) => one.offsetParent && !one.closest("[hidden]");
          const beyond = (box) => box.right > width + 1 || box.left < -1;
          for (const one of document.querySelectorAll("button, select, img, canvas, svg")) {
            if ((seen(one) || one.matches("svg")) && beyond(one.getBoundingClientRect()))
              found.push(one.id || one.alt || one.tagName);
          }
          const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          for (let text = texts.nextNode(); text; text = texts.nextNode()) {
            if (!text.data.trim() || !seen(text.parentElement)) continue;
            const range = document.createRange();
            range.selectNodeContents(text);
            if ([...range.getClientRects()].some(beyond)) found.push(text.data);
          }
          return found;
        }""",
        tab.viewport_size["width"],
    )


def counted_clicks(tab):
    """Return a function that tells how often mouse or finger went down since it was asked last."""
    tab.evaluate("""() => { window.downs = 0;
      addEventListener("pointerdown", () => { window.downs += 1; }, true); }""")
    return lambda: tab.evaluate("() => { const told = downs; window.downs = 0; return told; }")
