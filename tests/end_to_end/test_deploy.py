"""`archiver deploy` against the embedded CloudFormation, from the first deploy to the delete.

The stack is the template's own. Its code is a few bytes, for nothing runs here; that SAM uploads it
and names it is one test of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.changes import WIDTH
from cli.delete import delete
from cli.deploy import Person, Wishes, deploy, package_built, show
from cli.failure import Failure
from cli.parameters import read_parameters
from cli.stages import Stage, read_stage
from local.aws.calls_moto_lacks import AccountSettings
from local.aws.server import ACCOUNT_ID
from tests.embedded import embedded_aws
from tests.security.iam import ALLOWED, Request, decide

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASED = REPOSITORY / "tests" / "data" / "released" / "template.yaml"
DEV, PROD = "apartmentiq-archiver-dev", "apartmentiq-archiver"
_CODE = re.compile(r"(CodeUri|ContentUri): (\S+)")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountSettings]:
    """Run the embedded AWS with a bucket for code."""
    with embedded_aws(tmp_path_factory.mktemp("aws")) as settings:
        aws("s3").create_bucket(Bucket="code")
        yield settings
        _CLIENTS.clear()


_CLIENTS: dict[str, Any] = {}


def aws(service: str) -> Any:  # noqa: ANN401 - boto3's
    """Return a client of the embedded AWS."""
    if service not in _CLIENTS:
        _CLIENTS[service] = boto3.client(service)  # type: ignore[call-overload] # names vary
    return _CLIENTS[service]


class Project:
    """A checkout with its samconfig.toml, and all that its deploys said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = folder / "template.yaml"
        self.config = folder / "samconfig.toml"
        for name in ("template.yaml", "samconfig.toml"):
            (folder / name).write_text((REPOSITORY / name).read_text(encoding="utf-8"))
        self.packaged = 0
        self.prefix = ""  # in S3; the stack's name, if nothing is said
        self.told: list[str] = []

    def package(
        self, project: Path, stage: Stage, region: str, architecture: str, tell: object
    ) -> str:
        """Upload a few bytes in place of each function and layer."""
        del project, region, architecture, tell
        self.packaged += 1
        return packaged(self.template, self.prefix or stage.stack)

    def deploy(self, stage: str, *typed: str, **more: Any) -> int:  # noqa: ANN401 - deploy's own
        """Deploy a stage, with `--set` words; nobody can be asked unless `ask` says otherwise."""
        self.told = []
        wishes = more.pop("wishes", Wishes(sets=dict(word.split("=", 1) for word in typed)))
        said: dict[str, Any] = {"ask": None, "yes": True, "confirm": ""}
        said.update({name: more.pop(name) for name in list(more) if name in said})
        person = Person(self.told.append, **said)
        return deploy(stage, wishes, person, project=self.folder, package=self.package, **more)

    def show(self, stage: str) -> Any:  # noqa: ANN401 - JSON
        """Return what --show --json prints."""
        printed: list[str] = []
        show(stage, as_json=True, tell=printed.append, project=self.folder)
        return json.loads(printed[0])

    @property
    def text(self) -> str:
        """All that was said, unwrapped."""
        return " ".join("\n".join(self.told).split())


def packaged(template: Path, stack: str) -> str:
    """Return a template as `sam package` leaves it, its code uploaded."""

    def place(match: re.Match[str]) -> str:
        key = f"{stack}/{hashlib.md5(match[2].encode(), usedforsecurity=False).hexdigest()}"
        aws("s3").put_object(Bucket="code", Key=key, Body=b"")
        return f"{match[1]}: s3://code/{key}"

    return _CODE.sub(place, template.read_text(encoding="utf-8"))


def described(stack: str) -> dict[str, Any]:
    """Return a stack as CloudFormation describes it."""
    stacks: Any = aws("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    found: dict[str, Any] = stacks[0]
    return found


def parameters(stack: str) -> dict[str, str]:
    """Return what a stack has of its parameters."""
    return {p["ParameterKey"]: p["ParameterValue"] for p in described(stack)["Parameters"]}


def physical_ids(stack: str) -> dict[str, str]:
    """Return a stack's resources."""
    found = aws("cloudformation").describe_stack_resources(StackName=stack)
    # moto leaves one of the two out of some
    return {
        item.get("LogicalResourceId", ""): item.get("PhysicalResourceId", "")
        for item in found["StackResources"]
    }


def answers(*given: str) -> Callable[[str], str]:
    """Return a person who gives these answers, and no more."""
    left = list(given)
    return lambda _question: left.pop(0)


@pytest.fixture(scope="module")
def project(account: AccountSettings, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a checkout whose `dev` was deployed by somebody who answered four questions."""
    del account
    project = Project(tmp_path_factory.mktemp("project"))
    said = answers("us-east-1", "not an address", "who@example.com", "", "", "n")
    assert project.deploy("dev", ask=said, yes=False) == 1  # looked, and did not agree
    assert (REPOSITORY / "samconfig.toml").read_text() == project.config.read_text()
    with pytest.raises(Exception, match="does not exist"):
        described(DEV)
    said = answers("us-east-1", "who@example.com", "", "", "y")
    assert project.deploy("dev", ask=said, yes=False) == 0
    return project


def test_a_first_deploy_asks_four_things_and_pins_one(project: Project) -> None:
    """What was answered with the default is not written down; all else is the template's."""
    stage = read_stage("dev", project.config)
    assert (stage.region, stage.values) == ("us-east-1", {"AlarmEmail": "who@example.com"})
    declared = read_parameters(project.template)
    assert parameters(DEV) == {
        **{name: item.default for name, item in declared.items()},
        "AlarmEmail": "who@example.com",
    }
    assert described(DEV)["StackStatus"] == "CREATE_COMPLETE"
    assert "FillCredentialsCommand" in {o["OutputKey"] for o in described(DEV)["Outputs"]}
    # but for the command to paste, and what AWS named
    assert [s for s in project.told if len(s) > WIDTH and "aws " not in s and "arn:" not in s] == []
    assert f"archiver verify JOB --stack {DEV}" in project.text


def test_a_change_is_for_good_and_a_better_default_arrives(project: Project) -> None:
    """The next deploy keeps what was set, and takes from the template what was not."""
    tagged = Wishes(sets={"KeyPrefix": "a/", "ReconcileSchedule": ""}, tags={"team": "lake"})
    assert project.deploy("dev", wishes=tagged) == 0
    assert "tags of all resources: team: lake (new)" in project.text
    assert described(DEV)["Tags"] == [{"Key": "team", "Value": "lake"}]
    assert "KeyPrefix: empty -> a/" in project.text
    assert "- ReconcileRule Events::Rule: leaves the stack" in project.text
    text = project.template.read_text()
    project.template.write_text(text.replace("    Default: 192\n", "    Default: 256\n"))
    assert project.deploy("dev") == 0
    project.template.write_text(text)
    has = parameters(DEV)
    assert (has["MemorySize"], has["KeyPrefix"], has["ReconcileSchedule"]) == ("256", "a/", "")
    shown = project.show("dev")
    assert shown["set"]["ReconcileSchedule"] == {"value": "", "default": "rate(1 hour)"}
    assert shown["stack_has"] == {"MemorySize": "256"}

    assert project.deploy("dev", wishes=Wishes(unsets=["ReconcileSchedule", "KeyPrefix"])) == 0
    assert read_stage("dev", project.config).values.keys() == {"AlarmEmail"}
    assert parameters(DEV)["ReconcileSchedule"] == "rate(1 hour)"
    assert project.deploy("dev") == 0
    assert "nothing to change" in project.text


def test_what_loses_data_needs_more_than_yes(project: Project) -> None:
    """It is shouted, and goes only by the stack's name; the bucket stays."""
    bucket = physical_ids(DEV)["ArchiveBucket"]
    aws("s3").create_bucket(Bucket="theirs")
    theirs = Wishes(bucket="theirs")
    with pytest.raises(Failure, match=f"--confirm {DEV}"):
        project.deploy("dev", wishes=theirs)
    assert f"!! ArchiveBucket LEAVES THE STACK: {bucket} stays in the account" in project.text
    assert project.deploy("dev", wishes=theirs, yes=False, ask=answers("y")) == 1
    assert physical_ids(DEV)["ArchiveBucket"] == bucket
    assert read_stage("dev", project.config).values.keys() == {"AlarmEmail"}
    assert project.deploy("dev", wishes=theirs, yes=False, confirm=DEV) == 0
    assert aws("s3").head_bucket(Bucket=bucket)
    assert parameters(DEV)["ExistingArchiveBucketName"] == "theirs"


def test_nothing_is_built_before_all_is_checked(
    project: Project, account: AccountSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value, a bucket, the quota, a login, a region, a stage: one sentence each."""
    built, config = project.packaged, project.config.read_text()
    with pytest.raises(Failure, match="MemorySize cannot be '1'"):
        project.deploy("dev", "MemorySize=1")
    with pytest.raises(Failure, match="there is no bucket nowhere-at-all"):
        project.deploy("dev", wishes=Wishes(bucket="nowhere-at-all"))
    account.concurrency = 10
    with pytest.raises(Failure, match=r"ReservedConcurrency would reserve 5, .* can give 0"):
        project.deploy("dev", "ReservedConcurrency=5")
    account.concurrency = 1000
    with pytest.raises(Failure, match="another region would be a second stack"):
        project.deploy("dev", wishes=Wishes(region="eu-west-1"))
    with pytest.raises(Failure, match="give one of dev, prod"):
        project.deploy("test")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(Failure, match="prod has no region yet: give --region"):
        project.deploy("prod")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Exception, match="Unable to locate credentials"):
        project.deploy("dev")
    assert (project.packaged, project.config.read_text()) == (built, config)


def test_a_change_that_nobody_can_agree_to_is_not_made(project: Project) -> None:
    """Without a terminal and without --yes; and nothing is left of it."""
    with pytest.raises(Failure, match="give --yes"):
        project.deploy("dev", "LogLevel=DEBUG", yes=False)
    assert parameters(DEV)["LogLevel"] == "INFO"
    left = aws("cloudformation").list_change_sets(StackName=DEV)["Summaries"]
    assert {item["ExecutionStatus"] for item in left} <= {"EXECUTE_COMPLETE"}


def test_one_command_goes_back_and_the_same_forth(project: Project) -> None:
    """To template, code and parameters of before; samconfig.toml is left as it is."""
    config = project.config.read_text()
    before = parameters(DEV)
    assert project.deploy("dev", "LogLevel=DEBUG") == 0
    after = parameters(DEV)
    built = project.packaged
    with pytest.raises(Failure, match="change nothing by the same command"):
        project.deploy("dev", "KeyPrefix=c/", back=True)
    assert project.deploy("dev", back=True) == 0
    assert parameters(DEV) == before
    assert project.deploy("dev", back=True) == 0
    assert parameters(DEV) == after
    assert project.packaged == built
    assert "LogLevel" not in config
    assert "LogLevel" in project.config.read_text()


def test_what_was_kept_is_found_though_the_code_lies_elsewhere_now(project: Project) -> None:
    """A stage got another bucket or prefix for its code, or was deployed by other means before."""
    before = parameters(DEV)
    project.prefix = "elsewhere"
    try:
        assert project.deploy("dev", "MaxWaitHours=24") == 0
    finally:
        project.prefix = ""
    assert project.deploy("dev", back=True) == 0
    assert parameters(DEV) == before


@pytest.fixture(scope="module")
def pinned(account: AccountSettings, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a checkout whose `prod` SAM's guide deployed from the released template."""
    del account
    project = Project(tmp_path_factory.mktemp("released"))
    released = {name: item.default for name, item in read_parameters(RELEASED).items()}
    chosen = {**released, "KeyPrefix": "lake/", "AlarmEmail": "who@example.com"}
    words = " ".join(f'{name}=\\"{value}\\"' for name, value in chosen.items())
    text = project.config.read_text().replace(
        f'stack_name = "{PROD}"\n',
        f'stack_name = "{PROD}"\nregion = "us-east-1"\nparameter_overrides = "{words}"\n',
    )
    # the last that names this stack is the stage's, the first is everybody's
    first, _, rest = text.partition("[prod.deploy.parameters]")
    project.config.write_text(
        first.replace(f'region = "us-east-1"\nparameter_overrides = "{words}"\n', "")
        + "[prod.deploy.parameters]"
        + rest
    )
    client = aws("cloudformation")
    body = packaged(RELEASED, PROD)
    aws("s3").put_object(Bucket="code", Key=f"{PROD}/released.template", Body=body.encode())
    made = client.create_change_set(
        StackName=PROD,
        ChangeSetName="released",
        ChangeSetType="CREATE",
        TemplateURL=f"{aws('s3').meta.endpoint_url}/code/{PROD}/released.template",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in chosen.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    client.execute_change_set(ChangeSetName=made["Id"], StackName=PROD)
    return project


def test_a_released_stack_is_upgraded_and_its_pins_let_go(pinned: Project) -> None:
    """What the guide wrote down follows the template from now on; what was chosen stays."""
    kept = ("ArchiveBucket", "ArchiveTable", "ArchiveQueue", "DeadLetterQueue", "CredentialsSecret")
    before, had = physical_ids(PROD), parameters(PROD)
    assert pinned.deploy("prod") == 0
    assert "FunctionTimeout was 300, a default of before; it is 900 now" in pinned.text
    assert "KeyPrefix stays lake/" in pinned.text
    assert "!!" not in pinned.text
    assert read_stage("prod", pinned.config).values == {
        "AlarmEmail": "who@example.com",
        "CallbackReservedConcurrency": "10",
        "KeyPrefix": "lake/",
    }
    has = parameters(PROD)
    assert (has["FunctionTimeout"], has["MemorySize"], has["KeyPrefix"]) == ("900", "192", "lake/")
    assert {n: physical_ids(PROD)[n] for n in kept} == {n: before[n] for n in kept}

    assert pinned.deploy("prod", back=True) == 0
    assert parameters(PROD) == had
    assert pinned.deploy("prod") == 0
    assert parameters(PROD) == has
    assert "stays" not in pinned.text  # taken over once


def test_a_stack_without_its_samconfig_keeps_what_it_has(pinned: Project, tmp_path: Path) -> None:
    """Another checkout, where nobody wrote anything down: the stack says what was chosen."""
    del pinned
    other = Project(tmp_path)
    assert other.deploy("prod") == 0
    assert read_stage("prod", other.config).values["KeyPrefix"] == "lake/"
    assert parameters(PROD)["KeyPrefix"] == "lake/"


def test_a_stack_is_deleted_by_its_name(pinned: Project) -> None:
    """And then a first deploy asks again: nothing is there."""
    told: list[str] = []
    assert delete("prod", confirm=PROD, ask=None, tell=told.append, project=pinned.folder) == 0
    assert told[-1].startswith(f"{PROD} is deleted")
    with pytest.raises(Failure, match="there is no stack"):
        delete("prod", confirm=PROD, ask=None, tell=told.append, project=pinned.folder)


def test_sam_uploads_the_build_and_names_it(account: AccountSettings, tmp_path: Path) -> None:
    """Into its own bucket, which it makes; the template that comes back is the one to deploy."""
    del account
    build = tmp_path / "build"
    text = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    for number, (_, folder) in enumerate(_CODE.findall(text)):
        (build / folder).mkdir(parents=True, exist_ok=True)
        (build / folder / "code.py").write_text(f"number = {number}\n")
    (build / "template.yaml").write_text(text, encoding="utf-8")
    stage = read_stage("dev", REPOSITORY / "samconfig.toml")
    places = re.findall(
        r"s3://([^/\s]+)/(\S+)", package_built(build / "template.yaml", stage, "us-east-1")
    )
    assert len(places) == len(_CODE.findall(text))
    for bucket, key in places:
        assert bucket.startswith("aws-sam-cli-managed-default-")
        assert key.startswith(f"{DEV}/")
        assert aws("s3").head_object(Bucket=bucket, Key=key)


def test_whoever_deploys_may_call_all_that_a_deploy_calls(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/iam/deployer.json, held to what -v says that was asked."""
    project.deploy("dev", "LogLevel=INFO", "KeyPrefix=b/", verbose=True)
    project.deploy("dev", back=True, verbose=True)
    called = set(re.findall(r"^asking (\w+) (\w+) at", capsys.readouterr().err, re.MULTILINE))
    assert {("cloudformation", "ExecuteChangeSet"), ("s3", "PutObject")} <= called
    names = {
        "PARTITION": "aws",
        "REGION": "us-east-1",
        "ACCOUNT": ACCOUNT_ID,
        "BUCKET": "archive",
        "BUS": DEV,
        "STACK": DEV,
    }
    text = (REPOSITORY / "docs" / "iam" / "deployer.json").read_text(encoding="utf-8")
    for name, value in names.items():
        text = re.sub(rf"\b{name}\b", value, text)
    code = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a"
    resources = {
        "cloudformation": f"arn:aws:cloudformation:us-east-1:{ACCOUNT_ID}:stack/{DEV}/id",
        "lambda": "*",
        "s3": f"{code}/{DEV}/x",
    }
    actions = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}
    for service, operation in called - {("sts", "GetCallerIdentity")}:  # needs no permission
        action = actions.get(operation, operation)
        resource = code if action == "ListBucket" else resources[service]
        request = Request(f"{service}:{action}", resource, {})
        assert decide(json.loads(text)["Statement"], request) == ALLOWED, request
