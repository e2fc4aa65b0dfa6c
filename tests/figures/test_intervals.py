from isodepth.figures.intervals import bar_of, bars_named
from isodepth.statistics import Estimate

ALONE = Estimate(value=0.3, n=61)
RESAMPLED = Estimate(
    value=0.3, low=0.1, high=0.4, level=0.9, method="somehow", n=1013, resampled="texts"
)


def test_a_bar_is_the_interval():
    assert bar_of(RESAMPLED) == (0.1, 0.4)
    assert bar_of(ALONE) is None


def test_what_bars_are_is_said_once_for_each_kind():
    other = Estimate(value=0.1, low=0.0, high=1.0, level=0.9, method="else", n=7, resampled="models")
    assert bars_named([RESAMPLED, ALONE, RESAMPLED]) == (
        "Bars: 90 % interval, 1,013 texts resampled (somehow)."
    )
    assert bars_named([RESAMPLED, other]) == (
        "Bars: 90 % interval, 1,013 texts resampled (somehow); 90 % interval, 7 models resampled (else)."
    )


def test_without_bars_that_is_said():
    assert bars_named([ALONE]) == "No bars: nothing was resampled."
