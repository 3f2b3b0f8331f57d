"""`python -m twofold`: the command `twofold` where its script is not on the path."""

import sys

from twofold.cli import main

if __name__ == "__main__":
    sys.exit(main())
