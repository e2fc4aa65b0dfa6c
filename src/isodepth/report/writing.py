"""How do numbers become a page? One file that needs nothing else, and asks nothing of any network.

The page is a jinja2 template with its style and its scripts, beside it in the folder ``page``, and
plotly's JavaScript library from the installed package. Nothing is drawn here: the scripts draw in the
browser from the payload, which stands in the page as data. All that is no data is ours, so the template
takes it as it is; title and sentences are escaped by jinja2, the payload by `json_text`.

>>> write_page("report.html", report_payload(assessed, results=results))        # doctest: +SKIP

Memory: twice the file; of a report at most some 20 MB, of which 5 are plotly's.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from isodepth.atomic import write_atomically
from isodepth.report.packing import json_text

PAGE = "page"
TEMPLATE = "report.html.j2"
STYLE = "report.css"
SCRIPTS = (
    "packing.js",
    "model.js",
    "dom.js",
    "overview.js",
    "pair.js",
    "drilldown.js",
    "views.js",
    "tables.js",
    "main.js",
)
"""The page's scripts, in the order in which they are read."""
_ENDS_SCRIPT = re.compile("<(?=/script|!--)", re.IGNORECASE)


def report_html(payload: Mapping[str, Any]) -> str:
    """Return a report's page; the same payload gives the same page.

    Parameters
    ----------
    payload : mapping
        As `report_payload` gives it.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    folder = files("isodepth.report") / PAGE
    # a name in the template that nothing is said of is an error, not an empty place
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((folder / TEMPLATE).read_text(encoding="utf-8"))
    scripts = [(folder / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return template.render(
        title=payload["title"],
        sentences=payload["sentences"],
        css=(folder / STYLE).read_text(encoding="utf-8"),
        plotly_js=_as_element(get_plotlyjs()),
        payload_json=json_text(payload),
        script=_as_element('(() => {\n"use strict";\n' + "\n".join(scripts) + "\n})();"),
    )


def write_page(path: Path | str, payload: Mapping[str, Any]) -> Path:
    """Write a report's page, whole or not at all; return its path.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    place = Path(path)
    # halves of letters can be in names of files, and so of models; no page can hold them
    write_atomically(place, report_html(payload).encode("utf-8", "replace"))
    return place


def _as_element(script: str) -> str:
    """Return a script without what would end its element: in strings, where alone it can stand."""
    return _ENDS_SCRIPT.sub(r"<\\", script)
