"""`python -m cli`: the same as `archiver`, where no script was installed."""

from __future__ import annotations

import sys

from cli.app import main

if __name__ == "__main__":
    sys.exit(main())
