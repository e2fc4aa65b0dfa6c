"""What is done to activations before they are compared, by name."""

from isodepth.preprocessing.chain import Preprocessing
from isodepth.preprocessing.steps import STEPS, Argument, Step

__all__ = ["STEPS", "Argument", "Preprocessing", "Step"]
