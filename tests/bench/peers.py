"""The peers that are libraries: `peers.py NAME LINK BUCKET KEY`, each used as its own pages show.

It runs in the peers' venv, which has no package of ours, and must import nothing but its peer.
Settings are each library's defaults: people get those. Trust and keys come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

__all__: list[str] = []

_CHUNK_BYTES = 256 * 1024


def _boto3(link: str, bucket: str, key: str) -> None:
    import boto3  # noqa: PLC0415 - each peer loads its own packages alone

    boto3.client("s3").upload_fileobj(_open(link), bucket, key)


def _smart_open(link: str, bucket: str, key: str) -> None:
    import smart_open  # type: ignore[import-not-found] # noqa: PLC0415 # in the peers' venv alone

    with smart_open.open(f"s3://{bucket}/{key}", "wb") as target:
        shutil.copyfileobj(_open(link), target, _CHUNK_BYTES)


def _obstore(link: str, bucket: str, key: str) -> None:
    import obstore  # type: ignore[import-not-found] # noqa: PLC0415 # in the peers' venv alone
    from obstore.store import (  # type: ignore[import-not-found] # noqa: PLC0415 # as above
        HTTPStore,
        S3Store,
    )

    parts = urlsplit(link)
    source = HTTPStore.from_url(f"{parts.scheme}://{parts.netloc}/")
    target = S3Store(bucket, endpoint=os.environ["AWS_ENDPOINT_URL_S3"])

    async def copy() -> None:
        answer = await obstore.get_async(source, parts.path.lstrip("/"))
        await obstore.put_async(target, key, answer)

    asyncio.run(copy())
    # On a single core its runtime's threads now and then abort the interpreter while that ends,
    # after the copy: so it does not end in order.
    os._exit(0)


def _open(link: str) -> Any:  # noqa: ANN401 - urllib3's response, read by others
    import urllib3  # noqa: PLC0415 # as above

    pool = urllib3.PoolManager(ca_certs=os.environ["SSL_CERT_FILE"])
    answer = pool.request("GET", link, preload_content=False, decode_content=False)
    if answer.status != 200:
        raise SystemExit(f"the source answered {answer.status}")
    return answer


_PEERS: dict[str, Callable[[str, str, str], None]] = {
    "boto3": _boto3,
    "smart_open": _smart_open,
    "obstore": _obstore,
}

if __name__ == "__main__":
    _PEERS[sys.argv[1]](*sys.argv[2:5])
