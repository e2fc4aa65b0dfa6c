"""How much is permuted and resampled, and at which rates may it err?"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from isodepth.errors import ParameterError, whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentOptions:
    """What statistics are made with.

    Parameters
    ----------
    n_permutations : int
        Random relabellings of the texts, at least 19; the lowest p-value is 1 / (1 + n_permutations).
    n_resamples : int
        Resamples of the texts, at least 100.
    seed : int
        Of both.
    level : float
        How often intervals hold the truth, by design; in (0, 1).
    alpha : float
        How often either question of a decision may be answered wrongly with yes; in (0, 0.5).

    Raises
    ------
    ParameterError
        If a number is out of range, or there are too few permutations for `alpha` or resamples for
        `level`; all are listed.
    """

    n_permutations: int = 999
    n_resamples: int = 1000
    seed: int = 0
    level: float = 0.95
    alpha: float = 0.05

    def __post_init__(self) -> None:
        problems = []
        for name, least in (("n_permutations", 19), ("n_resamples", 100), ("seed", 0)):
            number = whole_number(getattr(self, name), name)
            object.__setattr__(self, name, number)  # Python's own, which JSON takes
            if number < least:
                problems.append(f"{name} must be at least {least}; got {number}")
        problems += [
            f"{name} must lie between 0 and {most:g}; got {getattr(self, name)}"
            for name, most in (("level", 1.0), ("alpha", 0.5))
            if not 0 < getattr(self, name) < most
        ]
        if not problems:
            # rounding must not ask for one more than 1 / 0.05
            fewest = math.ceil(1 / self.alpha - 1e-9) - 1
            if self.n_permutations < fewest:
                problems.append(
                    f"alpha = {self.alpha:g} needs n_permutations of at least {fewest:,}, else no "
                    f"p-value is as low; got {self.n_permutations:,}"
                )
            fewest = math.ceil(1 / (1 - self.level) - 1e-9)
            if self.n_resamples < fewest:
                problems.append(
                    f"level = {self.level:g} needs n_resamples of at least {fewest:,}; got "
                    f"{self.n_resamples:,}"
                )
        if problems:
            raise ParameterError("; ".join(problems))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields, as JSON values."""
        return asdict(self)
