"""The order of the stages: two models compared, or a study run, from the store as far as it goes."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isodepth.pipeline.assess import assess_models, assess_study
    from isodepth.pipeline.confounds import study_confounds, write_confounds
    from isodepth.pipeline.evidence import set_evidence, study_evidence
    from isodepth.pipeline.figures import write_figures
    from isodepth.pipeline.plan import plan_study
    from isodepth.pipeline.planned import StudyPlan
    from isodepth.pipeline.report import WrittenReport, write_report
    from isodepth.pipeline.run import run_study
    from isodepth.pipeline.stability import WrittenStability, study_stability, write_stability
    from isodepth.pipeline.two_models import compare

_HOMES = {
    "assess_models": "assess",
    "assess_study": "assess",
    "compare": "two_models",
    "study_confounds": "confounds",
    "write_confounds": "confounds",
    "StudyPlan": "planned",
    "plan_study": "plan",
    "run_study": "run",
    "set_evidence": "evidence",
    "study_evidence": "evidence",
    "WrittenReport": "report",
    "WrittenStability": "stability",
    "study_stability": "stability",
    "write_stability": "stability",
    "write_figures": "figures",
    "write_report": "report",
}

__all__ = [
    "StudyPlan",
    "WrittenReport",
    "WrittenStability",
    "assess_models",
    "assess_study",
    "compare",
    "plan_study",
    "run_study",
    "set_evidence",
    "study_confounds",
    "study_evidence",
    "study_stability",
    "write_confounds",
    "write_figures",
    "write_report",
    "write_stability",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"isodepth.pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isodepth.pipeline' has no attribute {name!r}")
