"""The template reads in the order of a message's way; `make check-template` asks the linters."""

from __future__ import annotations

import pytest

from tests.template.resolved import REPOSITORY, read_template


def test_resources_stand_in_the_order_in_which_a_message_meets_them() -> None:
    """A reader can follow a message from top to bottom."""
    resources = list(read_template()["Resources"])
    way = ["EventBus", "JobCompletedRule", "ReceiveCallbackFunction", "ReconcileExportsFunction"]
    way += ["ArchiveQueue"]
    way += ["ArchiveExportFunction", "ArchiveTable", "CredentialsSecret", "ArchiveBucket"]
    way += ["DeadLetterQueue"]
    assert [name for name in resources if name in way] == way


@pytest.mark.parametrize("name", list(read_template()["Resources"]))
def test_a_sentence_stands_above_each_resource(name: str) -> None:
    """Nobody has to guess what a resource is for."""
    text = (REPOSITORY / "template.yaml").read_text()
    lines = text[text.index("\nResources:\n") :].splitlines()
    assert lines[lines.index(f"  {name}:") - 1].startswith("  # ")


def test_the_settled_names_are_there() -> None:
    """Tools and other teams find the resources and outputs under the names that were agreed."""
    template = read_template()
    assert {
        "ArchiveQueue",
        "DeadLetterQueue",
        "EventBus",
        "JobCompletedRule",
        "ArchiveExportFunction",
        "ArchiveExportRole",
        "ArchiveExportLogGroup",
        "ReceiveCallbackFunction",
        "ReceiveCallbackRole",
        "ReceiveCallbackLogGroup",
        "CallbackTokenSecret",
        "ReconcileExportsFunction",
        "ReconcileExportsRole",
        "ReconcileExportsLogGroup",
        "OldestUnarchivedAlarm",
        "DependenciesLayer",
        "ArchiverLayer",
        "ArchiveBucket",
        "ArchiveBucketPolicy",
        "ArchiveTable",
        "CredentialsSecret",
    } <= template["Resources"].keys()
    assert {
        "ArchiveQueueUrl",
        "DeadLetterQueueUrl",
        "ArchiveBucketName",
        "ArchiveTableName",
        "EventBusName",
        "ArchiveExportFunctionName",
        "CallbackBaseUrl",
        "CallbackTokenSecretArn",
        "ReconcileExportsFunctionName",
        "CredentialsSecretArn",
    } <= template["Outputs"].keys()
