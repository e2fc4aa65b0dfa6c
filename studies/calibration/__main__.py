"""Print every table; `python -m studies.calibration.chance` prints those of chance alone."""

from studies.calibration import chance, decision, intervals, zoo

if __name__ == "__main__":
    for part in (chance, zoo, intervals, decision):
        part.main()
        print()
