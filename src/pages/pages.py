"""Pages, from templates that lie in the wings of src that draw them."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from src.base.changes import expect_file

TEMPLATES = Path(__file__).parents[1]  # src


def render_page(template: str, **context) -> str:
    """Fill a template; text from data is escaped, and a name that is not given is an error.

    A template may use `source("pages/page.js")`, the text of a file in src as it stands, and the
    filters `policy_hash`, see there, and `script_json`.

    Parameters
    ----------
    template : str
        Its path in src, such as reporting/report.html.jinja.
    **context
        What it shows.

    Returns
    -------
    page : str
        HTML.

    Raises
    ------
    jinja2.UndefinedError
        If the template uses a name that `context` lacks.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"policy_hash": policy_hash, "script_json": script_json}
    environment.globals["source"] = _source
    return environment.get_template(template).render(context)


def policy_hash(text: str) -> Markup:
    """Return what a content security policy calls an inline script or style: 'sha256-...'."""
    digest = hashlib.sha256(str(text).encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode()}'")


def script_json(data: Any) -> Markup:
    """Write data as JSON that may stand in a script element.

    Parameters
    ----------
    data : any
        Of what JSON can tell.

    Returns
    -------
    text : Markup
        ASCII without <, > and &, which would end or begin markup; JSON reads them the same.

    Raises
    ------
    ValueError
        If a number is none, or not finite.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _source(name: str) -> Markup:
    expect_file(TEMPLATES / name)  # a page is not to be made of a script that is being edited
    return Markup((TEMPLATES / name).read_text())
