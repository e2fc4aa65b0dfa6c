"""What do the matrices support? All statistics of a pair of models, of a text set, of a study.

>>> assessed = assess_pair(matrix, left=left_neighbors, right=right_neighbors)   # doctest: +SKIP
>>> print(assessed.decision.sentence)                                            # doctest: +SKIP

With the neighbors that a matrix was made from, every number has an interval or a p-value from the texts
themselves. From a matrix alone there are estimates and the paper's tests, and it is said so.
"""

from isodepth.assessment.options import AssessmentOptions
from isodepth.assessment.pair import PairAssessment, assess_pair
from isodepth.assessment.study import StudyAssessment
from isodepth.assessment.text_set import TextSetAssessment, assess_text_set

__all__ = [
    "AssessmentOptions",
    "PairAssessment",
    "StudyAssessment",
    "TextSetAssessment",
    "assess_pair",
    "assess_text_set",
]
