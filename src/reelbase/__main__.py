"""``python -m reelbase`` is the ``reelbase`` command."""

import sys

from reelbase.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
