"""Callbacks come in by a function of their own: a public URL, a role, a token, a log, a limit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from archiver.wiring.settings import CallbackSettings
from tests.template.resolved import Stack, read_template
from tests.template.test_function import LIBRARIES

ROLE = {
    "<ReceiveCallbackLogGroup.Arn>": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "*": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],  # X-Ray knows no resources
    "<CallbackTokenSecret>": ["secretsmanager:GetSecretValue"],
    "<ArchiveQueue.Arn>": ["sqs:SendMessage"],
}


def function(**parameters: str) -> dict[str, Any]:
    """Return the function's properties for parameters."""
    return Stack(**parameters).properties("ReceiveCallbackFunction")


def test_the_role_allows_exactly_what_is_called() -> None:
    """Its log, its trace, the token and sending to the queue: no other queue, secret or bucket."""
    stack = Stack()
    assert function()["Role"] == "<ReceiveCallbackRole.Arn>"
    role = stack.properties("ReceiveCallbackRole")
    assert "ManagedPolicyArns" not in role
    allowed = {}
    for policy in role["Policies"]:
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement.keys() == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        action = statement["Action"]
        allowed[statement["Resource"]] = action if isinstance(action, list) else [action]
    assert allowed == ROLE
    attached = stack.of_type("AWS::IAM::Policy").values()
    assert not [policy for policy in attached if "<ReceiveCallbackRole>" in policy["Roles"]]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_no_two_functions_share_a_role_or_a_log() -> None:
    """What a stranger could make one function do tells nothing of another."""
    functions = Stack().of_type("AWS::Lambda::Function").values()
    assert len({f["Role"] for f in functions}) == len(functions)
    assert len({f["LoggingConfig"]["LogGroup"] for f in functions}) == len(functions)


def test_the_url_is_public_and_nothing_else_is() -> None:
    """The vendor cannot sign: everybody may call the URL, and may not invoke past it."""
    stack = Stack()
    (url,) = stack.of_type("AWS::Lambda::Url").values()
    assert url["AuthType"] == "NONE"
    assert url["TargetFunctionArn"] == "<ReceiveCallbackFunction>"
    public = [p for p in stack.of_type("AWS::Lambda::Permission").values() if p["Principal"] == "*"]
    assert all(p["FunctionName"] == "<ReceiveCallbackFunction>" for p in public)
    assert {p["Action"]: p for p in public}.keys() == {
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    }
    for permission in public:
        only_by_url = permission.get("InvokedViaFunctionUrl") is True
        assert only_by_url or permission["FunctionUrlAuthType"] == "NONE"


def test_the_function_understands_the_environment_that_the_template_gives() -> None:
    """Two settings, and no credentials of the vendor's."""
    variables = function()["Environment"]["Variables"]
    assert variables.keys() == {"QUEUE_URL", "CALLBACK_TOKEN_SECRET_ARN"} | LIBRARIES.keys()
    settings = CallbackSettings.from_environ(variables)
    assert settings.queue_url == "<ArchiveQueue>"
    assert settings.token_secret_arn == "<CallbackTokenSecret>"


def test_the_token_is_made_by_the_stack_and_stands_nowhere_in_it() -> None:
    """No value is in the template; a URL's path takes it as it is; nobody can guess it."""
    secret = Stack().properties("CallbackTokenSecret")
    assert secret.keys() == {"Description", "GenerateSecretString"}
    made = secret["GenerateSecretString"]
    assert made == {"PasswordLength": 48, "ExcludePunctuation": True}


def test_a_request_of_a_strangers_writes_no_lines_of_lambdas_own() -> None:
    """A flood of junk costs one metric line each, not four."""
    logging = function()["LoggingConfig"]
    assert logging["SystemLogLevel"] == "WARN"
    assert logging["LogGroup"] == "<ReceiveCallbackLogGroup>"
    stack = Stack(LogRetentionDays="30")
    assert stack.properties("ReceiveCallbackLogGroup")["RetentionInDays"] == "30"


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("", None), ("25", "25")])
def test_callbacks_have_a_concurrency_of_their_own(given: str | None, expected: str | None) -> None:
    """A flood is capped where that is asked for; by default the stack deploys in any account."""
    stack = Stack() if given is None else Stack(CallbackReservedConcurrency=given)
    callbacks = stack.properties("ReceiveCallbackFunction")
    assert callbacks.get("ReservedConcurrentExecutions") == expected
    assert "ReservedConcurrentExecutions" not in stack.properties("ArchiveExportFunction")


def test_without_callbacks_nothing_of_them_is_there() -> None:
    """No URL, no permission to call one, no role, no secret that costs, no output."""
    with_them, without = Stack(), Stack(ReceiveCallbacks="false")
    gone = with_them.resources.keys() - without.resources.keys()
    assert gone == {
        "ReceiveCallbackFunction",
        "ReceiveCallbackFunctionUrl",
        "ReceiveCallbackFunctionUrlPublicPermissions",
        "ReceiveCallbackFunctionURLInvokeAllowPublicAccess",
        "ReceiveCallbackRole",
        "ReceiveCallbackLogGroup",
        "CallbackTokenSecret",
        "CallbackErrorsAlarm",
    }
    assert with_them.outputs.keys() - without.outputs.keys() == {
        "CallbackUrlCommand",
        "RotateCallbackTokenCommand",
        "CallbackBaseUrl",
        "CallbackTokenSecretArn",
        "ReceiveCallbackFunctionName",
    }


def test_outputs_are_commands_that_print_the_url_and_rotate_the_token() -> None:
    """Both can be pasted as they are, and neither shows the token on the way."""
    outputs = {name: output["Value"] for name, output in Stack().outputs.items()}
    assert outputs["CallbackUrlCommand"] == (
        r"printf '%s%s\n' '<ReceiveCallbackFunctionUrl.FunctionUrl>' "
        '"$(aws secretsmanager get-secret-value --region us-east-1'
        " --secret-id '<CallbackTokenSecret>' --query SecretString --output text)\""
    )
    made, _, put = outputs["RotateCallbackTokenCommand"].partition(" | ")
    assert made.startswith("aws secretsmanager get-random-password --region us-east-1")
    assert "--password-length 48 --exclude-punctuation" in made
    assert put == (
        "aws secretsmanager put-secret-value --region us-east-1"
        " --secret-id '<CallbackTokenSecret>' --secret-string file:///dev/stdin"
    )


def run(command: str, tmp_path: Path) -> str:
    """Run a command in a shell whose `aws` notes how it was called, and return its output."""
    aws = tmp_path / "aws"
    aws.write_text(
        '#!/bin/sh\necho "$@" >> "$NOTES"\n'
        'case "$*" in *put-secret-value*) cat >> "$NOTES";; *) echo a-token;; esac\n'
    )
    aws.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NOTES": str(tmp_path / "notes")}
    return subprocess.run(  # noqa: S603 - the template's own command
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_commands_work_in_a_shell(tmp_path: Path) -> None:
    """One prints the whole URL; the other hands the token on in a pipe, never as an argument."""
    outputs = {name: output["Value"] for name, output in Stack().outputs.items()}
    printed = run(outputs["CallbackUrlCommand"], tmp_path)
    assert printed == "<ReceiveCallbackFunctionUrl.FunctionUrl>a-token\n"
    assert run(outputs["RotateCallbackTokenCommand"], tmp_path) == ""
    notes = (tmp_path / "notes").read_text().splitlines()
    assert notes[-1] == "a-token"
    assert not [line for line in notes[:-1] if "a-token" in line]


def test_every_output_of_a_condition_belongs_to_its_resources() -> None:
    """An output of callbacks is shown exactly where there are callbacks."""
    for name, output in read_template()["Outputs"].items():
        assert ("Callback" in name) == (output.get("Condition") == "ReceivesCallbacks")
