"""A customer of ApartmentIQ's that has nothing of the archiver's, as its contracts see it."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openapi_core.datatypes import RequestParameters

    from local.apartmentiq import VendorStandIn

ORDER: Mapping[str, object] = {
    "report_type": "floorplans",
    "output_format": "jsonl",
    "start_date": "2025-02-01",
    "end_date": "2025-02-28",
    "property_ids": [5],
}


@dataclass(frozen=True)
class Got:
    """An answer as it came over the wire; also openapi-core's idea of a response."""

    status_code: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def content_type(self) -> str:
        """Return the content type, or an empty string."""
        return self.headers.get("content-type", "")

    @property
    def document(self) -> dict[str, object]:
        """Return the body's JSON object."""
        return dict(json.loads(self.data))


@dataclass  # openapi-core's protocol wants settable fields
class Asked:
    """openapi-core's idea of a request to the vendor's own address."""

    path: str
    parameters: RequestParameters
    host_url: str = "https://data.apartmentiq.io"
    method: str = "get"
    content_type: str = ""
    body: bytes | None = None


@dataclass(frozen=True)
class Client:
    """Talks to the stand-in as the archiver would, but with nothing of the archiver's."""

    vendor: VendorStandIn
    context: ssl.SSLContext
    timeout_seconds: float = 10

    def call(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> Got:
        """Call the API below its base URL, or what stands beside it when the path says so."""
        base = urlsplit(self.vendor.api_base_url)
        target = path if path.startswith(("/oauth", "/stand-in")) else base.path + path
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if content_type:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPSConnection(
            base.netloc, context=self.context, timeout=self.timeout_seconds
        )
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, fields, answer.read())
        finally:
            connection.close()

    def request_token(self, **changed: str) -> Got:
        """Ask for a token in a form, as documented."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": self.vendor.client_id,
            "client_secret": self.vendor.client_secret,
        } | changed
        return self.call(
            "/oauth/token",
            method="POST",
            body=urlencode(fields).encode(),
            content_type="application/x-www-form-urlencoded",
        )

    def token(self) -> str:
        """Return a fresh token."""
        return str(self.request_token().document["access_token"])

    def results(self, job_id: str) -> Got:
        """Ask for a job's results with a valid token."""
        return self.call(f"/bulk_api/jobs/{job_id}/results", token=self.vendor.access_token)

    def order(self, **changed: object) -> Got:
        """Order a job as a customer does."""
        return self.call(
            "/bulk_api/jobs",
            method="POST",
            token=self.vendor.access_token,
            body=json.dumps({**ORDER, **changed}).encode(),
            content_type="application/json",
        )

    def listed(self, query: str = "per_page=100") -> list[dict[str, object]]:
        """Return the jobs of one page of the list."""
        got = self.call(f"/bulk_api/jobs?{query}", token=self.vendor.access_token).document
        jobs: list[dict[str, object]] = got["jobs"]  # type: ignore[assignment]  # parsed JSON
        return jobs
