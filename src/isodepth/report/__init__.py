"""What does one page show of results, to whoever opens it, without a network?

Everything that statistics say of a study or a comparison, as one HTML file: `report_payload` gathers
the numbers, `report_html` puts them into the page (its template, style and scripts are in the folder
``page``), `write_page` writes it. `isodepth.write_report` does all of it for results.

>>> payload = report_payload(assessed, results=results, evidence=evidence)      # doctest: +SKIP
>>> write_page("report.html", payload)                                          # doctest: +SKIP

Memory: twice the file.
"""

from isodepth.report.cautions import cautions
from isodepth.report.explained import Explain, refuse_unknown_pairs
from isodepth.report.payload import report_payload
from isodepth.report.writing import report_html, write_page

__all__ = ["Explain", "cautions", "refuse_unknown_pairs", "report_html", "report_payload", "write_page"]
