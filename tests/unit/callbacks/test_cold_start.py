"""What a callback's cold start loads: a fresh process is asked, for imports hide in imports."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.idempotency",
    "archiver.apartmentiq.client",
    "archiver.aws.object_store",
    "archiver.network.https",
    "archiver.transfer",
    "archiver.wiring.archiving",
    "aws_xray_sdk",
    "awscrt.s3",
)


def test_a_cold_callback_loads_nothing_heavy() -> None:
    """Neither X-Ray's SDK, batches, idempotency nor S3: 260 ms of CPU, of which boto3 has 225."""
    code = "import receive_callback, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = done.stdout.split()
    assert "archiver.callbacks.reception" in loaded
    assert not [name for name in loaded if name.startswith(HEAVY)]
