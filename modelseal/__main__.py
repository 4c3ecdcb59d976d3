"""`python -m modelseal`."""

import sys

from modelseal.cli import main

if __name__ == "__main__":
    sys.exit(main())
