"""What a study found, as files that need nothing else: all matrices of every text set, with labels.

A results folder holds, per text set, ``NAME.safetensors`` (every matrix, one array each, labels in the
file's metadata) and ``NAME.parquet`` (the same as a table, one row a layer pair), and one
``manifest.json`` with what was run, every key and version, and the sums of the files. Equal results are
equal bytes: nothing in them tells when, where or in how many attempts they came about.

>>> results = load_results("results/small")                                      # doctest: +SKIP
>>> matrices = results.matrices("wikipedia", k=10)                               # doctest: +SKIP
>>> matrices["gemma-3-270m", "smollm2-135m-instruct"].values                     # doctest: +SKIP

Memory: matrices are memory maps of their files.
"""

from isodepth.results.evidence import Evidence, EvidenceKey, evidence_key
from isodepth.results.files import refuse_other_results, write_manifest, write_text_set
from isodepth.results.loading import load_results
from isodepth.results.study import MatrixKind, StudyResults, TextSetResults

__all__ = [
    "Evidence",
    "EvidenceKey",
    "MatrixKind",
    "StudyResults",
    "TextSetResults",
    "evidence_key",
    "load_results",
    "refuse_other_results",
    "write_manifest",
    "write_text_set",
]
