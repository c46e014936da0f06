"""Pages, from templates that lie in the wings of src that draw them."""

from pathlib import Path

import jinja2

TEMPLATES = Path(__file__).parents[1]  # src


def render_page(template: str, **context) -> str:
    """Fill a template; text from data is escaped, and a name that is not given is an error.

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
    return environment.get_template(template).render(context)
