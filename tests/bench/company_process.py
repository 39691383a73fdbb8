"""The company's AWS (moto) and its vendor, in a process of their own, led by JSON lines.

`company_process.py DIRECTORY CORE [OTHER_CA_BUNDLE]`. The first line out is the function's
environment. Then each line in is one of `{"add": SIZE, "times": N, "at": URL or null}` (answers the
jobs' messages; with `at`, their links lead there) and `{"counts": true}` (answers what was asked
since the last time, by service and action). Connections are kept, as AWS keeps them. It ends with
its input. It measures nothing.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import boto3

from local.apartmentiq import VendorStandIn
from local.aws.server import EmbeddedAws
from local.certificates import CertificateAuthority
from tests.bench.keep_alive import connections_accepted, keep_connections

__all__: list[str] = []

_REGION = "us-east-1"
_PEOPLE = "PEOPLE"  # who builds the stack; the function's calls have another key


class _Company:
    def __init__(self, directory: Path, also_trusted: list[Path]) -> None:
        self._authority = CertificateAuthority.create(directory, also_trusted)
        self._aws = EmbeddedAws(self._authority.server_context())
        keep_connections(self._aws)
        self._aws.start()
        self.vendor = VendorStandIn(self._authority.server_context())
        self.vendor.start()
        self._seen = self._connections = 0

    def build(self) -> dict[str, str]:
        """Make what template.yaml makes, and return the function's environment."""
        self._client("s3").create_bucket(Bucket="bucket")
        self._client("events").create_event_bus(Name="bus")
        self._client("dynamodb").create_table(
            TableName="table",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        sqs = self._client("sqs")
        self.queue_url = sqs.create_queue(QueueName="queue")["QueueUrl"]
        secret = {"client_id": self.vendor.client_id, "client_secret": self.vendor.client_secret}
        arn = self._client("secretsmanager").create_secret(
            Name="credentials", SecretString=json.dumps(secret)
        )["ARN"]
        bundle = str(self._authority.bundle_path)
        return {
            "APARTMENTIQ_API_BASE_URL": self.vendor.api_base_url,
            "APARTMENTIQ_TOKEN_URL": self.vendor.token_url,
            "TRUSTED_LINK_HOSTS": self.vendor.trusted_link_host,
            "ARCHIVE_BUCKET": "bucket",
            "CREDENTIALS_SECRET_ARN": arn,
            "TABLE_NAME": "table",
            "EVENT_BUS_NAME": "bus",
            "QUEUE_URL": self.queue_url,
            "DEAD_LETTER_QUEUE_URL": sqs.create_queue(QueueName="dead")["QueueUrl"],
            "AWS_ENDPOINT_URL": self._aws.url,
            "SSL_CERT_FILE": bundle,
            "AWS_CA_BUNDLE": bundle,
        }

    def add(self, size_bytes: int, times: int, at: str | None) -> list[dict[str, str]]:
        """Enter finished jobs with exports of this size; `at` leads their links elsewhere.

        Returns their messages, received from the queue: the function may change their visibility.
        """
        content = random.Random(4).randbytes(size_bytes)  # noqa: S311 - sample bytes
        jobs = [self.vendor.add_job(content).job_id for _ in range(times)]
        for job_id in jobs if at else ():
            headers = {"Location": at or ""}
            self.vendor.answer_next(
                "results", status=302, headers=headers, times=None, job_id=job_id
            )
        return [self._receive(json.dumps({"job_id": job_id})) for job_id in jobs]

    def _receive(self, body: str) -> dict[str, str]:
        sqs = self._client("sqs")
        sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)
        received = sqs.receive_message(QueueUrl=self.queue_url, VisibilityTimeout=3600)
        (message,) = received["Messages"]
        return {"body": body, "receipt_handle": message["ReceiptHandle"]}

    def counts(self) -> dict[str, int]:
        """Return what the function asked since the last time, and connections to AWS it opened."""
        records = self._aws.requests()
        asked = Counter(
            f"{record.service} {record.action}"
            for record in records[self._seen :]
            if record.access_key_id != _PEOPLE
        )
        asked.update(f"vendor {entry.route}" for entry in self.vendor.journal)
        connections = connections_accepted()
        asked["new connections to AWS"] = connections - self._connections
        self._seen, self._connections = len(records), connections
        self.vendor.clear_journal()
        return dict(asked)

    def _client(self, service: str) -> Any:  # noqa: ANN401 - a name at run time
        return boto3.client(  # type: ignore[call-overload] # as above
            service,
            region_name=_REGION,
            endpoint_url=self._aws.url,
            aws_access_key_id=_PEOPLE,
            aws_secret_access_key="people",
            verify=str(self._authority.bundle_path),
        )


def _serve() -> None:
    os.sched_setaffinity(0, {int(sys.argv[2])})
    company = _Company(Path(sys.argv[1]), [Path(name) for name in sys.argv[3:]])
    _answer(company.build())
    company.counts()
    for line in sys.stdin:
        order = json.loads(line)
        if "add" in order:
            _answer(company.add(order["add"], order["times"], order["at"]))
        else:
            _answer(company.counts())


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
    os._exit(0)  # the stand-ins' threads have nothing left to tell
