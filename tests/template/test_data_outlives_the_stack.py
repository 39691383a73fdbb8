"""What cannot be fetched again is encrypted, closed to the public, and outlives the stack."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.template.resolved import Stack, read_template

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
RETAINED = {"ArchiveBucket", "ArchiveTable", "CredentialsSecret"}
# Holds something, and may go all the same; why stands beside each in the template.
EXPENDABLE = {
    "ArchiveQueue",
    "CallbackTokenSecret",
    "DeadLetterQueue",
    "EventArchive",
}
HOLDS_DATA = {
    "AWS::DynamoDB::Table",
    "AWS::Events::Archive",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}


@pytest.mark.parametrize("name", sorted(RETAINED))
def test_data_is_retained_when_the_stack_goes_or_replaces_it(name: str) -> None:
    """Neither deleting the stack nor an update that needs a new resource deletes data.

    A first deploy that fails leaves nothing behind that the next one collides with.
    """
    resource = Stack().resources[name]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


def test_of_everything_that_holds_data_it_is_decided_whether_it_stays() -> None:
    """No new table, bucket, secret, queue or archive goes with the stack by an oversight."""
    resources = Stack(EventArchiveDays="30").resources
    holding = {name: r for name, r in resources.items() if r["Type"] in HOLDS_DATA}
    assert holding.keys() == RETAINED | EXPENDABLE
    for name in EXPENDABLE:
        assert holding[name]["DeletionPolicy"] == "Delete"
        assert holding[name]["UpdateReplacePolicy"] == "Delete"


def test_every_log_group_says_whether_it_stays() -> None:
    """CloudFormation's default is not left to guess."""
    for group in (r for r in Stack().resources.values() if r["Type"] == "AWS::Logs::LogGroup"):
        assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Delete"


def test_the_bucket_keeps_versions_and_shuts_the_public_out() -> None:
    """Nothing archived can be lost by an overwrite or seen by a stranger."""
    bucket = Stack().properties("ArchiveBucket")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_unfinished_uploads_are_aborted_after_thirty_days() -> None:
    """Parts that nobody completes do not cost for ever; finished objects never expire.

    The longest copy, 48.8 TiB at Lambda's network, has long ended by then.
    """
    (rule,) = Stack().properties("ArchiveBucket")["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 30}
    longest_seconds = 10_000 * (5 << 30) * 8 / 625e6
    assert 3 * longest_seconds < timedelta(days=30).total_seconds()
    assert not [name for name in rule if "Expiration" in name]


@pytest.mark.parametrize("storage_class", ["STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR"])
def test_archived_objects_move_to_the_storage_class_that_was_asked_for(storage_class: str) -> None:
    """After the days that were asked for; the other rule stays as it is."""
    given = {"ArchiveStorageClass": storage_class, "ArchiveStorageClassDays": "60"}
    rules = Stack(**given).properties("ArchiveBucket")["LifecycleConfiguration"]["Rules"]
    by_default = Stack().properties("ArchiveBucket")["LifecycleConfiguration"]["Rules"]
    moves = {"StorageClass": storage_class, "TransitionInDays": "60"}
    assert rules == [
        *by_default,
        {"Id": "MoveToStorageClass", "Status": "Enabled", "Transitions": [moves]},
    ]


def test_an_existing_bucket_is_told_the_rule_that_moves_objects() -> None:
    """What is printed is the JSON that S3 takes, with a storage class and without."""
    bucket = {"ExistingArchiveBucketName": "ours", "KeyPrefix": "exports/"}
    moved = {"ArchiveStorageClass": "GLACIER_IR", "ArchiveStorageClassDays": "45"}
    printed = [
        json.loads(Stack(**bucket, **given).outputs["ExistingBucketLifecycleRule"]["Value"])
        for given in ({}, moved)
    ]
    assert "Transitions" not in printed[0]
    assert printed[1] == printed[0] | {"Transitions": [{"StorageClass": "GLACIER_IR", "Days": 45}]}


def test_no_storage_class_is_offered_that_must_be_restored_before_it_is_read() -> None:
    """`recheck`, audit, Athena and loaders read the archive without waiting for hours."""
    offered = read_template()["Parameters"]["ArchiveStorageClass"]["AllowedValues"]
    # what S3's lifecycle moves to (API Reference, "Transition"), less those to be restored first,
    # and the one whose objects are lost with one zone
    moves_to = {"GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE"}
    assert {*offered} == {"", "GLACIER_IR"} | moves_to - {"GLACIER", "DEEP_ARCHIVE", "ONEZONE_IA"}


@pytest.mark.parametrize(
    ("key", "expected"),
    [("", {"SSEAlgorithm": "AES256"}), (KEY, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY})],
    ids=["S3's own keys", "KMS"],
)
def test_the_bucket_is_encrypted(key: str, expected: dict[str, str]) -> None:
    """By S3's own keys, or by the company's where one is given."""
    encryption = Stack(KmsKeyArn=key).properties("ArchiveBucket")["BucketEncryption"]
    (rule,) = encryption["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == expected
    assert rule["BucketKeyEnabled"] is bool(key)


def test_the_bucket_refuses_requests_without_tls() -> None:
    """For the bucket and for every object in it, whoever asks."""
    statement, *_ = Stack().properties("ArchiveBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Resource"] == ["<ArchiveBucket.Arn>", "<ArchiveBucket.Arn>/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_table_fits_powertools_and_can_be_restored() -> None:
    """Powertools' default names, billed on demand, encrypted, with point-in-time recovery."""
    table = Stack().properties("ArchiveTable")
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_secret_is_made_without_a_value() -> None:
    """A later edit of the stack cannot overwrite the credentials that a person filled in."""
    assert Stack().properties("CredentialsSecret").keys() == {"Description"}
