"""The fault simulation: the real use case and adapters in a world that misbehaves by a seed.

Read world.py for what the world is, chaos.py for what goes wrong in it, judge.py for what must hold
all the same, and mutants.py for the proof that the judge bites. `make faults` runs it.
"""

import sys
from pathlib import Path

__all__: list[str] = []

# `python -m tests.faults` is started from a checkout, where no layer brings our package.
for _folder in ("layers/archiver", "functions/archive_export"):
    _path = str(Path(__file__).parents[2] / _folder)
    if _path not in sys.path:
        sys.path.append(_path)
