"""``python -m isodepth``: the command line."""

from isodepth.cli import main

main()
