"""`python -m fromnoise` is `fromnoise`."""

import sys

from fromnoise.cli import main

if __name__ == "__main__":
    sys.exit(main())
