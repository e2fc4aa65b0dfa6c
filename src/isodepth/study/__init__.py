"""What a run is: models, text sets, measures and what to keep, from a TOML file or from Python."""

from isodepth.study.reading import load_study
from isodepth.study.study import Resources, Study, StudyTexts

__all__ = ["Resources", "Study", "StudyTexts", "load_study"]
