"""``python -m missionlink`` is the command ``missionlink``."""

import sys

from missionlink.cli import main

if __name__ == "__main__":
    sys.exit(main())
