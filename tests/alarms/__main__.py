"""`make alarms`: print which alarm tells what, for docs/operations.md."""

import sys

from tests.alarms.table import table

sys.stdout.write(table())
