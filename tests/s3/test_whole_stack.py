"""The deployed template with its archive in somebody else's S3: `archiver local --s3-endpoint`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local.apartmentiq import SyntheticExport, sha256_of
from local.certificates import CertificateAuthority
from local.cloud import LocalCloud
from tests.s3.front import Front
from tests.s3.servers import Server
from tests.s3.stage import MIB

PATIENCE_SECONDS = 60


@pytest.mark.needs("upload metadata")
def test_a_whole_stack_archives_to_it(
    server: Server, front: Front, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """Queue, emulator and function as deployed; a small export and one in parts, byte for byte."""
    exports = [SyntheticExport(1000, seed=1), SyntheticExport(20 * MIB, seed=2)]
    with LocalCloud(
        state_folder=tmp_path / "local",
        s3_endpoint=f"https://127.0.0.1:{front.server_address[1]}",
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        ca_bundle=authority.bundle_path,
        maximum_runtimes=2,
    ) as cloud:
        assert cloud.vendor is not None
        jobs = [cloud.vendor.add_job(export) for export in exports]
        for job in jobs:
            cloud.send({"job_id": job.job_id})
        cloud.wait_until_quiet(PATIENCE_SECONDS)
        for job, export in zip(jobs, exports, strict=True):
            item = cloud.job_item(job.job_id) or {}
            assert item["verified_by"]["S"] == "crc64nvme"
            answer = cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=item["key"]["S"])
            assert hashlib.sha256(answer["Body"].read()).hexdigest() == sha256_of(export)
        assert len(cloud.emitted_events()) == len(jobs)
