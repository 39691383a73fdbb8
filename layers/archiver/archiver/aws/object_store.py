"""The archive bucket: committing an object once, and looking up what is there.

Every commit is one conditional request (`If-None-Match: *`): no reader ever sees a partial object,
and nothing that exists is overwritten. A store that is not AWS's may ignore the condition silently:
there each commit is preceded by a HEAD. Parts are sent by part_writer.py, because botocore would
hash and copy the bytes. S3-compatible servers differ (dialect.py): judge by status and length,
never by one header alone; after an empty or missing ETag, HEAD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from archiver.aws.bucket_address import BucketAddress
from archiver.aws.dialect import DAMAGED, KNOW_NO_SSE_S3, Dialect
from archiver.aws.part_writer import PartWriter
from archiver.aws.translate import code_of, kind_of, status_of, translated
from archiver.network.deadline import TimeIsUp
from archiver.network.outside import Connect
from archiver.transfer.checksum import (
    decode_crc64nvme,
    encode_crc64nvme,
    md5_of_etag,
    told_crc64nvme,
)
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    Found,
    ObjectExists,
    ObjectSpec,
    Part,
    Slice,
    SourceHead,
    SourceNotGranted,
    UncertainCommit,
    Upload,
    UploadGone,
    UploadRefused,
    kept_encoding,
)

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

__all__ = ["ObjectStore"]

# What CompleteMultipartUpload has against an upload, and not against us (API reference: "Special
# errors", ChecksumCRC64NVME, MpuObjectSize).
_REFUSED_UPLOADS = DAMAGED | {"EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest"}
_ABORTS = 3  # an upload's parts under way are ours: with the workers gone, none comes any more


@dataclass
class ObjectStore:
    """One bucket of an S3, and how to reach it with bytes of our own sending."""

    client: S3Client
    credentials: Credentials
    bucket: str
    kms_key_arn: str | None
    connect: Connect
    dialect: Dialect = field(default_factory=Dialect)  # learnt once, for as long as the runtime
    _address: BucketAddress = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare to ask where the bucket is; nothing is asked yet."""
        self._address = BucketAddress(self.client, self.bucket)

    @property
    def takes_trailers(self) -> bool | None:
        """Whether the store takes a part with a trailer; None where no part_writer knows yet."""
        return self.dialect.takes_trailers

    def find(self, key: str) -> Found | None:
        """Return what is at a key (HEAD), or None."""
        with translated("Looking at the archived object"):
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
        return Found(
            size_bytes=head["ContentLength"],
            etag=head.get("ETag", ""),
            version_id=head.get("VersionId"),
            checksum_crc64nvme=head.get("ChecksumCRC64NVME"),
            metadata=head.get("Metadata", {}),
            md5=md5_of_etag(
                head.get("ETag", ""),
                encryption=head.get("ServerSideEncryption"),
                customer_key=head.get("SSECustomerAlgorithm"),
                storage_class=head.get("StorageClass"),
            ),
        )

    def read(self, key: str, first: int, last: int, *, etag: str | None = None) -> Slice | None:
        """Return these bytes of what is at a key, as far as it has them; None: nothing is there.

        `etag`: of that object alone. Without its version, which would take another permission
        (s3:GetObjectVersion).
        """
        asked: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
        with translated("Reading from an archived object"):
            try:
                answer = self.client.get_object(
                    Bucket=self.bucket, Key=key, Range=f"bytes={first}-{last}", **asked
                )
                content = answer["Body"].read()
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                if status_of(error) == 416:  # it ends before, perhaps because it is empty
                    return Slice(b"", None)
                raise
        if not answer.get("ContentRange"):  # a store that knows no ranges
            content = content[first : last + 1]
        return Slice(content, kept_encoding(answer.get("ContentEncoding")))

    def tags(self, key: str, version_id: str | None) -> dict[str, str]:
        """Return the tags of a version of an object; None: of what is at the key."""
        version: dict[str, Any] = {} if version_id is None else {"VersionId": version_id}
        with translated("Reading an object's tags"):
            answer = self.client.get_object_tagging(Bucket=self.bucket, Key=key, **version)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def tag(self, key: str, version_id: str | None, tags: Mapping[str, str]) -> None:
        """Give a version of an object these tags, and no others."""
        version: dict[str, Any] = {} if version_id is None else {"VersionId": version_id}
        with translated("Tagging an object"):
            self.client.put_object_tagging(
                Bucket=self.bucket,
                Key=key,
                Tagging={"TagSet": [{"Key": name, "Value": it} for name, it in tags.items()]},
                **version,
            )

    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed:
        """Commit an object in one request, its checksum in the header, checked by S3 on receipt.

        Raises ObjectExists, CommitConflict (409: try again) and UncertainCommit.
        """
        self._look_first(spec.key)
        return self.put_blindly(spec, body, crc)

    def put_blindly(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed:
        """Do what `put` does without the HEAD: the store's own refusal is what is asked for.

        For a probe (probe.py); a store that ignores the condition overwrites what is there.
        """
        with _committing("Writing the object"):
            answer = self._encrypting(
                self.client.put_object,
                Bucket=self.bucket,
                Key=spec.key,
                Body=body,  # boto3 takes it; bytes would be a copy
                IfNoneMatch="*",
                ChecksumAlgorithm="CRC64NVME",  # where objects are locked, S3 wants it named
                ChecksumCRC64NVME=encode_crc64nvme(crc),
                **_described(spec),
            )
        return Committed(
            etag=answer.get("ETag", ""),
            version_id=answer.get("VersionId"),
            checksum_crc64nvme=answer.get("ChecksumCRC64NVME"),
        )

    def _look_first(self, key: str) -> None:
        """Raise ObjectExists where something is at the key of a store that is not AWS's.

        What comes between this look and the commit is left to the condition. Raises Failure where
        the store does not let us look: nothing may be written there unseen.
        """
        if self.dialect.is_aws is None:
            self.dialect.meet(urlsplit(self.client.meta.endpoint_url).hostname or "")
        if not self.dialect.is_aws and self.find(key) is not None:
            raise ObjectExists

    def begin_upload(self, spec: ObjectSpec) -> Upload:
        """Create a multipart upload whose checksum will be a CRC64NVME of the whole object."""
        with translated("Beginning a multipart upload"):
            answer = self._encrypting(
                self.client.create_multipart_upload,
                Bucket=self.bucket,
                Key=spec.key,
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **_described(spec),
            )
        self._address.ask_again()  # that call may have been redirected: the parts follow it
        return Upload(key=spec.key, upload_id=answer["UploadId"])

    def part_writer(self) -> PartWriter:
        """Return a writer of parts with a connection of its own; one for each worker.

        Raises what botocore raises where it knows no address for the bucket.
        """
        return PartWriter(self._address, self.connect, self.credentials, self.dialect)

    def copy_part(
        self,
        upload: Upload,
        number: int,
        source: Mapping[str, str],
        etag: str,
        byte_range: str | None,
    ) -> Part:
        """Let S3 copy one part from another bucket; raises SourceNotGranted where it will not."""
        extra: dict[str, Any] = {} if byte_range is None else {"CopySourceRange": byte_range}
        with _asking_for_source("Copying a part server-side"):
            answer = self.client.upload_part_copy(
                Bucket=self.bucket,
                Key=upload.key,
                UploadId=upload.upload_id,
                PartNumber=number,
                CopySource={**source},  # type: ignore[arg-type] # Bucket, Key, maybe VersionId
                CopySourceIfMatch=etag,
                **extra,
            )
        result = answer.get("CopyPartResult", {})
        if not result.get(
            "ETag"
        ):  # rclone takes the request for an upload of no bytes, and says 200
            raise SourceNotGranted("NoCopyPartResult")
        return Part(number, result.get("ETag", ""), 0, None, result.get("ChecksumCRC64NVME"))

    def list_parts(self, upload: Upload) -> list[Part]:
        """Return the finished parts that S3 holds of an upload; raises UploadGone.

        Their checksums are known where the store tells them (S3 does; others may not).
        """
        listed = [_listed(part) for part in self._parts(upload)]
        self._address.ask_again()  # as in begin_upload: an attempt that goes on begins with this
        return listed

    def _parts(self, upload: Upload) -> Iterator[PartTypeDef]:
        """Yield what S3 lists of an upload, a page at a time; raises UploadGone."""
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=upload.key, UploadId=upload.upload_id
        )
        with translated("Listing an upload's parts"):
            try:
                for page in pages:
                    yield from page.get("Parts", [])
            except ClientError as error:
                if status_of(error) == 404:
                    raise UploadGone from error
                raise

    def uploads_at(self, key: str) -> list[Upload]:
        """Return the unfinished uploads at exactly this key."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=key
        )
        with translated("Listing unfinished uploads"):
            try:
                return [
                    Upload(key, upload["UploadId"])
                    for page in pages
                    for upload in page.get("Uploads", [])
                    if upload["Key"] == key
                ]
            except ClientError as error:
                if code_of(error) == "NoSuchUpload":  # rclone's word for none
                    return []
                raise

    def commit_upload(
        self, upload: Upload, parts: Sequence[Part], size_bytes: int, crc: int | None
    ) -> Committed:
        """Complete a multipart upload in one conditional request.

        Raises ObjectExists, CommitConflict (409: begin anew), UploadGone (perhaps because an
        earlier try of this very request was done: look), UploadRefused and UncertainCommit.
        """
        self._look_first(upload.key)
        # A size and a checksum let S3 itself refuse a Complete that is not what we copied.
        checksum: dict[str, Any] = (
            {} if crc is None else {"ChecksumCRC64NVME": encode_crc64nvme(crc)}
        )
        with _committing("Completing the multipart upload"):
            try:
                answer = self.client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=upload.key,
                    UploadId=upload.upload_id,
                    IfNoneMatch="*",
                    MpuObjectSize=size_bytes,
                    ChecksumType="FULL_OBJECT",
                    MultipartUpload={"Parts": [_completed(part) for part in parts]},
                    **checksum,
                )
            except ClientError as error:
                # The code before the status: it may come inside a 200, and commits nothing there.
                if code_of(error) in _REFUSED_UPLOADS:
                    raise UploadRefused(code_of(error)) from error
                raise
        return Committed(
            etag=answer.get("ETag", ""),
            version_id=answer.get("VersionId"),
            checksum_crc64nvme=answer.get("ChecksumCRC64NVME"),
        )

    def refusal_without_condition(self, upload: Upload) -> str:
        """Ask to commit without `If-None-Match`; return the code by which S3 refuses.

        The one part that is named was never sent, so that nothing can come of it: InvalidPart from
        whoever does not refuse the request itself, AccessDenied where the bucket's policy does
        (S3 User Guide, "How Amazon S3 authorizes a request": that comes first).
        """
        never_sent: CompletedPartTypeDef = {"PartNumber": 9_999, "ETag": f'"{"0" * 32}"'}
        with translated("Asking for an unconditional commit"):
            try:
                self.client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=upload.key,
                    UploadId=upload.upload_id,
                    MultipartUpload={"Parts": [never_sent]},
                )
            except ClientError as error:
                if status_of(error) >= 500:
                    raise
                return code_of(error)
        return "committed"

    def abort_upload(self, upload: Upload) -> None:
        """Abort an upload, until no part of it is listed; one that is gone already is fine.

        API reference, AbortMultipartUpload: parts that are under way may still succeed, so that an
        upload is to be aborted until the list of its parts is empty. What comes later yet, the
        bucket's lifecycle rule takes.
        """
        for _ in range(_ABORTS):
            self._abort_once(upload)
            if not self._holds_parts(upload):
                return

    def _holds_parts(self, upload: Upload) -> bool:
        try:
            return next(self._parts(upload), None) is not None
        except UploadGone:
            return False

    def _abort_once(self, upload: Upload) -> None:
        with translated("Aborting a multipart upload"):
            try:
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=upload.key, UploadId=upload.upload_id
                )
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise

    def describe_source(self, source: Mapping[str, str]) -> SourceHead:
        """Return what an object elsewhere is (HEAD); raises SourceNotGranted.

        Its checksum costs no permission that the copy does not need (HeadObject, ChecksumMode:
        kms:Decrypt where KMS encrypts).
        """
        with _asking_for_source("Looking at the source"):
            head = self.client.head_object(
                **source,  # type: ignore[arg-type] # as in copy_part
                ChecksumMode="ENABLED",
            )
        return SourceHead(
            size_bytes=head["ContentLength"],
            etag=head["ETag"],
            content_encoding=kept_encoding(head.get("ContentEncoding")),
            checksum_crc64nvme=told_crc64nvme(
                head.get("ChecksumCRC64NVME"), head.get("ChecksumType")
            ),
        )

    def _encrypting(
        self,
        create: Callable[..., Any],
        **asked: Any,  # noqa: ANN401 - boto3's
    ) -> Any:  # noqa: ANN401 - boto3's
        """Create an object, or an upload of one, and say how it is to be encrypted.

        Said even where it is S3's default: policies deny a write without the header (Amazon S3 User
        Guide, "Protecting data with SSE-S3"). Parts and Complete have no such field, and are judged
        by what the upload began with.
        """
        if self.kms_key_arn is not None:
            return create(
                **asked,
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self.kms_key_arn,
                BucketKeyEnabled=True,
            )
        try:
            return create(**asked, ServerSideEncryption="AES256")
        except ClientError as error:
            if code_of(error) not in KNOW_NO_SSE_S3:
                raise
            return create(**asked)


@contextmanager
def _committing(doing: str) -> Iterator[None]:
    """Sort what a commit can answer; what may have happened all the same is UncertainCommit."""
    with translated(doing):
        try:
            yield
        except ClientError as error:
            code, status = code_of(error), status_of(error)
            if status == 412:
                raise ObjectExists from error
            if status == 409:
                raise CommitConflict from error
            if code == "NoSuchUpload":
                raise UploadGone from error
            if (
                status >= 500 or status < 300
            ):  # a 200 with an error inside may come without a status
                raise UncertainCommit(f"{doing}: {code}.") from error
            raise
        except (BotoCoreError, TimeIsUp) as error:  # torn off, perhaps: it may have been done
            raise UncertainCommit(f"{doing}: {kind_of(error)}.") from error


@contextmanager
def _asking_for_source(doing: str) -> Iterator[None]:
    """Any 4xx (no grant, another region, gone, changed) means: not server-side."""
    with translated(doing):
        try:
            yield
        except ClientError as error:
            if 300 <= status_of(error) < 500:
                raise SourceNotGranted(code_of(error)) from error
            raise


def _described(spec: ObjectSpec) -> dict[str, Any]:
    described: dict[str, Any] = {"ContentType": spec.content_type, "Metadata": dict(spec.metadata)}
    if spec.content_encoding:  # the bytes stay as they are; readers are told as the source told us
        described["ContentEncoding"] = spec.content_encoding
    return described


def _listed(part: PartTypeDef) -> Part:
    told = part.get("ChecksumCRC64NVME")
    return Part(
        number=part["PartNumber"],
        etag=part.get("ETag", ""),
        size_bytes=part["Size"],
        crc=None if told is None else decode_crc64nvme(told),
        told_checksum=told,
    )


def _completed(part: Part) -> CompletedPartTypeDef:
    completed: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": part.etag}
    if part.crc is not None:
        completed["ChecksumCRC64NVME"] = encode_crc64nvme(part.crc)
    elif part.told_checksum:
        completed["ChecksumCRC64NVME"] = part.told_checksum
    return completed
