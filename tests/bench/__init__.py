"""The benchmark: what a copy costs, beside its peers and a floor, and what must not get worse.

`python -m tests.bench.…` is started from a checkout, where no layer brings our package; so its
folder is put on the path here, and botocore is told to sign as in the function (template.yaml).
Nothing else may happen in this file.
"""

import os
import sys
from pathlib import Path

__all__: list[str] = []

if "pytest" not in sys.modules:  # there other code in the same process needs botocore's checksums
    os.environ.setdefault("BOTO_DISABLE_CRT", "true")
for _folder in ("layers/archiver", "functions/archive_export"):
    _path = str(Path(__file__).parents[2] / _folder)
    if _path not in sys.path:
        sys.path.append(_path)
