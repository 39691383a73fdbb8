"""`archiver`: what people do with a stack, deployed or local. `app.py` lists the commands.

It sees a stack as its users do: outputs, queues, table, bucket, functions. It is no part of what is
deployed, and may use the embedded cloud of local/ but not the other way. It shares no code with
what is deployed but the rules of orders, so that a plan can be judged before there is a stack
(docs/decisions).
"""

import sys
from pathlib import Path

_LAYER = Path(__file__).resolve().parents[1] / "layers" / "archiver"
if str(_LAYER) not in sys.path:  # tests and the checks of types have it there
    sys.path.append(str(_LAYER))
