"""The whole stack on one machine: certificates, AWS, the vendor, real runtimes, a poller.

This is the composition root of local runs and the one object that tests and the demo hold. It
knows our template's names and must not know how the function works: it never
imports `archiver`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local.apartmentiq import VendorStandIn
from local.aws.asynchronous import AsyncInvoker
from local.aws.calls_moto_lacks import AccountSettings, CallsMotoLacks
from local.aws.clients import Credentials, Endpoint, LocalClients
from local.aws.emitted_events import EmittedEvents
from local.aws.event_source import EventSource
from local.aws.expansion import expand_template
from local.aws.function_urls import FunctionUrls
from local.aws.invoke_api import InvokeApi
from local.aws.mirror import MirrorFolder
from local.aws.queues import Message, peek_messages, read_depth
from local.aws.runtime import RuntimeSettings
from local.aws.runtime_installation import install_runtime
from local.aws.runtime_pool import RuntimePool
from local.aws.schedule import Schedule, read_schedules
from local.aws.server import EmbeddedAws
from local.aws.stack import ARTIFACTS_BUCKET, StackError, deploy_stack
from local.aws.traces import TraceCollector
from local.certificates import (
    CertificateAuthority,
    NoCertificateError,
    check_bundle,
    public_roots,
)
from local.ports import Ports
from local.state_folder import held
from local.stores import look_at_store
from local.surroundings import Room, leave_the_person_out, proxy_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef

    from local.aws.expansion import ExpandedTemplate
    from local.aws.runtime import Invocation
    from local.aws.server import QueuedMessage, RequestRecord
    from local.aws.stack import DeployedStack
    from local.aws.traces import Trace

__all__ = ["CloudError", "LocalCloud"]

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
MAIN_FUNCTION = "ArchiveExportFunction"
SWEEP_FUNCTION = "ReconcileExportsFunction"
STACK_NAME = "apartmentiq-archiver"
# The names say who called in the record of requests; moto takes any key.
_PEOPLE = Credentials("LOCALPEOPLE", "local")
_SPARE_RUNTIMES = 2  # for direct invocations while the queue's are all busy
_QUIET_POLL_SECONDS = 0.05
_PATIENT_SECONDS = 60.0


class CloudError(Exception):
    """The local run cannot start as asked; the text says what, where and what to do."""


class LocalCloud:
    """The stack, deployed and working, from `with` to its end; everything is gone afterwards.

    One at a time per process, and per `state_folder`, which it begins by emptying
    (state_folder.py); a person's own AWS settings are taken out of its environment.
    `parameters` are the template's. With `s3_endpoint` archives go to that
    server with its keys; with `api_base_url` and `token_url` exports come from that vendor
    and `vendor` is None. `function_environment` goes over what the template sets, as a change by
    hand would. With `upgrade_from` the stack begins as that template's, `before_upgrade` fills it,
    and it is updated to `template_path` before anything runs. Raises CloudError, StackError,
    ParameterError, StateFolderError or InstallationError.
    """

    def __init__(
        self,
        *,
        template_path: Path = PROJECT_FOLDER / "template.yaml",
        build_folder: Path = PROJECT_FOLDER / ".aws-sam" / "local",
        state_folder: Path,
        ports: Ports | None = None,
        region: str = "us-east-1",
        parameters: Mapping[str, str] | None = None,
        s3_endpoint: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        api_base_url: str | None = None,
        token_url: str | None = None,
        trusted_link_hosts: Sequence[str] = (),
        ca_bundle: Path | None = None,
        maximum_runtimes: int | None = None,
        enforce_memory: bool = False,
        fill_credentials: bool = True,
        mirror_archive: bool = True,
        lose_callbacks: float = 0.0,
        complete_after_seconds: float | None = None,
        function_environment: Mapping[str, str] | None = None,
        upgrade_from: Path | None = None,
        before_upgrade: Callable[[LocalClients, DeployedStack], None] | None = None,
    ) -> None:
        self.state_folder = state_folder
        self.region = region
        self.notes: list[str] = []  # what people should know of it and could not expect
        self._ports = ports or Ports()
        self._template_path = template_path
        self._build_folder = build_folder
        self._parameters = dict(parameters or {})
        self._s3 = _check_s3(s3_endpoint, access_key_id, secret_access_key)
        self._given_vendor = _check_vendor(api_base_url, token_url)
        self._trusted_link_hosts = tuple(trusted_link_hosts)
        self._also_trusted = _check_trust(
            ca_bundle, leaves_machine=bool(self._s3 or self._given_vendor)
        )
        self._maximum_runtimes = maximum_runtimes
        self._enforce_memory = enforce_memory
        self._fill_credentials = fill_credentials
        self._mirror_archive = mirror_archive
        self._lose_callbacks = lose_callbacks
        self._complete_after_seconds = complete_after_seconds
        self._function_environment = dict(function_environment or {})
        self._upgrade_from = upgrade_from
        self._before_upgrade = before_upgrade
        self._exit = ExitStack()
        self._pools: dict[str, RuntimePool] = {}
        self._invokers: dict[str, AsyncInvoker] = {}
        self._sources: list[EventSource] = []
        self._schedules: list[tuple[Schedule, AsyncInvoker]] = []

    def __enter__(self) -> Self:
        with ExitStack() as exit_stack:  # unwinds a start that fails half-way
            self._start(exit_stack)
            self._exit = exit_stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    # --- what people and tests do with it ---

    def send(
        self, body: Mapping[str, Any] | str, attributes: Mapping[str, str] | None = None
    ) -> str:
        """Put a message on the stack's queue; returns its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        answer = self.clients.sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in (attributes or {}).items()
            },
        )
        return answer["MessageId"]

    def put_event(
        self,
        detail: Mapping[str, Any],
        *,
        source: str = "apartmentiq",
        detail_type: str = "Job Completed",
    ) -> str:
        """Put an event on the stack's bus; returns its id. Raises CloudError if it is refused."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}
        answer = self.clients.events.put_events(
            Entries=[{**entry, "EventBusName": self.event_bus}]  # type: ignore[typeddict-item]  # made above
        )
        if answer["FailedEntryCount"]:
            raise CloudError(f"the bus refused the event: {answer['Entries']}")
        return answer["Entries"][0]["EventId"]

    def invoke(self, event: object, function: str = MAIN_FUNCTION) -> Invocation:
        """Invoke a function directly and wait for its answer."""
        return self.pool(function).invoke(event)

    def invoke_async(
        self, event: object, function: str = MAIN_FUNCTION
    ) -> Future[list[Invocation]]:
        """Invoke as EventBridge does: retried, then sent to the OnFailure destination."""
        return self._invokers[function].submit(event)

    def fire_schedules(self) -> list[Invocation]:
        """Let every scheduled rule be due now, as after an hour, and wait for what it invoked."""
        fired = [invoker.submit(schedule.event()) for schedule, invoker in self._schedules]
        return [tries.result()[-1] for tries in fired]

    def wait_until_quiet(self, deadline_seconds: float = _PATIENT_SECONDS) -> None:
        """Wait until the queue is empty, in-flight and delayed included, and nothing runs.

        Raises TimeoutError, with the counts, at the deadline: a message that failed stays in flight
        for its visibility timeout; `skip_waiting` brings it back at once.
        """
        deadline, pause = time.monotonic() + deadline_seconds, Event()
        while not self._is_quiet():
            if time.monotonic() > deadline:
                depth = read_depth(self.clients.sqs, self.queue_url)
                raise TimeoutError(f"not quiet after {deadline_seconds} s: {depth}")
            pause.wait(_QUIET_POLL_SECONDS)

    def skip_waiting(self) -> int:
        """Let all delays and visibility timeouts on the queue pass now; returns how many did.

        Messages that an invocation has in hand stay there.
        """
        held = {handle for source in self._sources for handle in source.held_receipts}
        name = _name_in(self.queue_url)
        return self.aws.make_messages_visible(name, self.region, held_receipts=held)

    def queued_messages(self) -> list[QueuedMessage]:
        """Return what is on the stack's queue, hidden or not, and leave it as it is."""
        return self.aws.queued_messages(_name_in(self.queue_url), self.region)

    def bring_back(self, message_id: str) -> None:
        """Let one message's delay and visibility timeout pass now."""
        name = _name_in(self.queue_url)
        self.aws.make_messages_visible(name, self.region, message_id=message_id)

    def empty_queues(self) -> None:
        """Forget what waits in the queue and in the dead-letter queue, between two tests."""
        for url in (self.queue_url, self.dead_letter_queue_url):
            self.aws.forget_messages(_name_in(url), self.region)

    # --- what came of it ---

    def emitted_events(self) -> list[dict[str, Any]]:
        """Return every event that the function emitted, as EventBridge envelopes, in order."""
        return self._emitted.collected()

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Tell `listener` of every emitted event from now on, in a thread that is not its own."""
        self._emitted.listen(listener)

    def queued_dead_letters(self) -> list[QueuedMessage]:
        """Return what is in the dead-letter queue, hidden or not, without receiving it."""
        return self.aws.queued_messages(_name_in(self.dead_letter_queue_url), self.region)

    def dead_letters(self) -> list[Message]:
        """Return what is in the dead-letter queue and leave it there."""
        return peek_messages(self.clients.sqs, self.dead_letter_queue_url)

    def object_versions(self, key: str) -> list[ObjectVersionTypeDef]:
        """Return the versions of the object at a key, newest first."""
        answer = self.clients.s3.list_object_versions(Bucket=self.bucket, Prefix=key)
        return [item for item in answer.get("Versions", []) if item["Key"] == key]

    def job_item(self, job_id: str) -> dict[str, Any] | None:
        """Return a job's item of the table, in DynamoDB's own typed form."""
        answer = self.clients.dynamodb.get_item(
            TableName=self.table, Key={"id": {"S": f"job#{job_id}"}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return dict(item) if item else None

    def invocations(self, function: str = MAIN_FUNCTION) -> list[Invocation]:
        """Return every invocation so far, in order of their end."""
        return self.pool(function).invocations()

    def traces(self) -> list[Trace]:
        """Return every trace so far, oldest first."""
        return self._traces.traces()

    @property
    def trace_address(self) -> str:
        """Where the tracer listens, as `host:port` of UDP."""
        return self._traces.address

    def trace_datagrams(self) -> list[str]:
        """Return all that the tracer was sent by the functions, as it came."""
        return self._traces.datagrams()

    def logs(self, function: str = MAIN_FUNCTION) -> str:
        """Return all that a function's runtimes wrote."""
        paths = [path for path in self.pool(function).log_paths() if path.exists()]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def requests(self, function: str | None = None) -> list[RequestRecord]:
        """Return the AWS API calls that functions made, in order; perhaps of one function only.

        With `s3_endpoint` all functions have that server's keys, and cannot be told apart.
        """
        keys = {
            pool.settings.credentials.access_key_id
            for name, pool in self._pools.items()
            if function in {None, name}
        }
        return [record for record in self.aws.requests() if record.access_key_id in keys]

    # --- where things are ---

    @property
    def running_count(self) -> int:
        """How many invocations run now."""
        return sum(pool.busy_count for pool in self._pools.values())

    @property
    def event_source(self) -> EventSource:
        """The poller of the stack's queue, with its counts."""
        return self._sources[0]

    @property
    def functions(self) -> list[str]:
        """The logical ids of the stack's functions."""
        return list(self._pools)

    def pool(self, function: str = MAIN_FUNCTION) -> RuntimePool:
        """Return a function's runtimes; raises KeyError when the template has no such function."""
        return self._pools[function]

    @property
    def queue_url(self) -> str:
        """The queue that triggers the function."""
        return self._environment["QUEUE_URL"]

    @property
    def dead_letter_queue_url(self) -> str:
        """Where rejected messages go."""
        return self._environment["DEAD_LETTER_QUEUE_URL"]

    @property
    def bucket(self) -> str:
        """The archive bucket."""
        return self._environment["ARCHIVE_BUCKET"]

    @property
    def table(self) -> str:
        """The table of jobs and their receipts."""
        return self._environment["TABLE_NAME"]

    @property
    def event_bus(self) -> str:
        """The bus that is listened to and written to."""
        return self._environment["EVENT_BUS_NAME"]

    @property
    def credentials_secret(self) -> str:
        """The ARN of the secret with the vendor's credentials."""
        return self._environment["CREDENTIALS_SECRET_ARN"]

    @property
    def callback_url(self) -> str | None:
        """The URL to order jobs with, token and all; None when the stack receives no callbacks."""
        outputs = self.stack.outputs
        if "CallbackBaseUrl" not in outputs:
            return None
        secret = outputs["CallbackTokenSecretArn"]
        value = self.clients.secretsmanager.get_secret_value(SecretId=secret)
        return f"{outputs['CallbackBaseUrl'].rstrip('/')}/{value['SecretString'].strip()}"

    @property
    def endpoints_path(self) -> Path:
        """The file that tells tools where everything is; readable by its owner only."""
        return self.state_folder / "endpoints.json"

    @property
    def archive_path(self) -> Path:
        """The folder into which archived exports are copied for people to open."""
        return self.state_folder / "archive"

    @property
    def logs_path(self) -> Path:
        """The folder with one log file per runtime."""
        return self.state_folder / "logs"

    @property
    def traces_path(self) -> Path:
        """The file with every trace document of this run, one a line."""
        return self.state_folder / "traces.jsonl"

    @property
    def s3_endpoint(self) -> Endpoint:
        """The S3 that archives go to, and its keys."""
        return self._s3 or Endpoint(self.aws.url, _PEOPLE)

    @property
    def ca_bundle(self) -> Path:
        """The certificate authorities that the runtimes trust."""
        return self._authority.bundle_path

    def put_credentials(self, values: Mapping[str, str]) -> None:
        """Fill the credentials secret, as a person would after the deploy."""
        self.clients.secretsmanager.put_secret_value(
            SecretId=self.credentials_secret, SecretString=json.dumps(dict(values))
        )

    # --- how it comes up ---

    def _start(self, exit_stack: ExitStack) -> None:
        leave_the_person_out()
        exit_stack.enter_context(held(self.state_folder))
        self._prepare_folders()
        self._authority = CertificateAuthority.create(self.state_folder / "tls", self._also_trusted)
        template = expand_template(self._template_path, bucket=ARTIFACTS_BUCKET, region=self.region)
        self._start_servers(exit_stack)
        self.stack = self._deploy(template)
        self._environment = self.stack.function(MAIN_FUNCTION).environment
        self._fill_in()
        self._start_emitted_events(exit_stack)
        self._start_functions(exit_stack)
        self._write_endpoints(exit_stack)

    def _prepare_folders(self) -> None:
        """Begin with empty folders: what lies in them belongs to a stack that is gone."""
        Room({self.state_folder: 0}).check()
        for path in (self.traces_path, self.endpoints_path):
            path.unlink(missing_ok=True)
        for name in ("archive", "logs"):
            shutil.rmtree(self.state_folder / name, ignore_errors=True)
            (self.state_folder / name).mkdir(parents=True)

    def _start_servers(self, exit_stack: ExitStack) -> None:
        self._traces = TraceCollector(self.traces_path)
        self._traces.start()
        exit_stack.callback(self._traces.stop)
        self.aws = EmbeddedAws(self._authority.server_context(), self._ports.aws)
        self.aws.answer_first(AccountSettings())
        self.aws.start()
        exit_stack.callback(self.aws.stop)
        self._function_urls = FunctionUrls(
            self._authority.server_context(), self._ports.function_url
        )
        exit_stack.callback(self._function_urls.stop)
        self.vendor: VendorStandIn | None = None
        if self._given_vendor is None:
            self.vendor = VendorStandIn(
                self._authority.server_context(),
                callbacks_trust=self._authority.bundle_path,
                api_port=self._ports.api,
                links_port=self._ports.links,
            )
            self.vendor.callbacks.lose = self._lose_callbacks
            if self._complete_after_seconds is not None:
                self.vendor.complete_orders_after(self._complete_after_seconds)
            self.vendor.start()
            exit_stack.callback(self.vendor.stop)
        self.clients = LocalClients(
            Endpoint(self.aws.url, _PEOPLE),
            region=self.region,
            ca_bundle=self._authority.bundle_path,
            s3=self._s3,
        )

    @property
    def vendor_urls(self) -> tuple[str, str]:
        """Return the base URL of the vendor's API and the URL of its tokens."""
        if self._given_vendor:
            return self._given_vendor
        assert self.vendor is not None  # noqa: S101 - one of the two is set by _start_servers
        return self.vendor.api_base_url, self.vendor.token_url

    def _credentials_of(self, function: str) -> Credentials:
        """Give each function keys of its own, as its role does."""
        return self._s3.credentials if self._s3 else Credentials(f"LOCAL{function}", "local")

    def _deploy(self, template: ExpandedTemplate) -> DeployedStack:
        if self._upgrade_from is not None:
            earlier = expand_template(
                self._upgrade_from, bucket=ARTIFACTS_BUCKET, region=self.region
            )
            stack = self._deploy_one(earlier, update=False)
            if self._before_upgrade is not None:
                self._before_upgrade(self.clients, stack)
        return self._deploy_one(template, update=self._upgrade_from is not None)

    def _deploy_one(self, template: ExpandedTemplate, *, update: bool) -> DeployedStack:
        template.check_parameters(self._parameters)
        ours = {
            name: value
            for name, value in self._own_parameters().items()
            if name in template.parameters
        }
        stack = deploy_stack(
            template,
            self.clients,
            name=STACK_NAME,
            region=self.region,
            build_folder=self._build_folder,
            parameters={**ours, **self._make_existing_resources()},
            open_function_url=self._function_urls.open,
            update=update,
        )
        if all(function.logical_id != MAIN_FUNCTION for function in stack.functions):
            raise StackError(f"{self._template_path} has no function {MAIN_FUNCTION}")
        return stack

    def _own_parameters(self) -> dict[str, str]:
        api_base_url, token_url = self.vendor_urls
        hosts = [self.vendor.trusted_link_host] if self.vendor else []
        ours = {"ApiBaseUrl": api_base_url, "TokenUrl": token_url}
        if trusted := ",".join([*hosts, *self._trusted_link_hosts]):
            ours["TrustedLinkHosts"] = trusted
        if (
            self._s3 and "ExistingArchiveBucketName" not in self._parameters
        ):  # one bucket for all runs against a server that outlives them
            ours["ArchiveBucketName"] = "apartmentiq-archive-local"
        return ours

    def _make_existing_resources(self) -> dict[str, str]:
        """Make what parameters name as existing, which in an empty cloud it cannot be yet."""
        parameters = dict(self._parameters)
        if bucket := parameters.get("ExistingArchiveBucketName"):
            self.clients.moto_s3.create_bucket(Bucket=bucket)
        if bus := parameters.get("EventBusName"):
            self._make_bus(bus)
        if arn := parameters.get("CredentialsSecretArn"):
            name = arn.rpartition(":")[2]
            made = self.clients.secretsmanager.create_secret(Name=name)
            parameters["CredentialsSecretArn"] = made["ARN"]
        return parameters

    def _make_bus(self, name: str) -> None:
        if name != "default":
            self.clients.events.create_event_bus(Name=name)

    def _fill_in(self) -> None:
        if self.vendor and self._fill_credentials:
            self.put_credentials(
                {"client_id": self.vendor.client_id, "client_secret": self.vendor.client_secret}
            )
        if self._s3:
            self._make_bucket_elsewhere(self._s3.url)

    def _make_bucket_elsewhere(self, url: str) -> None:
        s3 = self.clients.s3
        try:
            if self.bucket not in {item.get("Name") for item in s3.list_buckets()["Buckets"]}:
                s3.create_bucket(Bucket=self.bucket)
        except (BotoCoreError, ClientError) as error:
            raise CloudError(
                f"--s3-endpoint {url}: bucket {self.bucket} cannot be made there ({error}); "
                "check the address, the keys and --ca-bundle"
            ) from error
        self.notes += look_at_store(s3, self.bucket, url)

    def _start_emitted_events(self, exit_stack: ExitStack) -> None:
        on_event = self._mirror if self._mirror_archive else None
        self._emitted = EmittedEvents(self.clients, on_event)
        self._emitted.start(bus=self.event_bus, source="apartmentiq.archiver")
        exit_stack.callback(self._emitted.stop)

    def _mirror(self, event: Mapping[str, Any]) -> None:
        """Copy what an `Export Archived` names into the archive folder, and its catalogue entry."""
        if event.get("detail-type") == "Export Archived":
            archived = event["detail"]["object"]
            folder = MirrorFolder(self.archive_path, self.clients.s3)
            folder.fetch(archived["bucket"], archived["key"])
            item = self.job_item(event["detail"]["job"]["job_id"])
            if "S" in (entry := (item or {}).get("catalogue_key", {})):
                folder.fetch(archived["bucket"], entry["S"])

    def _start_functions(self, exit_stack: ExitStack) -> None:
        settings = self._runtime_settings()
        wanted = {
            source.function_name: source.maximum_concurrency or 0
            for source in self.stack.event_sources
        }
        for function in self.stack.functions:
            maximum = self._maximum_runtimes or wanted.get(function.name, 0) + _SPARE_RUNTIMES
            own = replace(settings, credentials=self._credentials_of(function.logical_id))
            pool = RuntimePool(function, own, maximum)
            invoker = AsyncInvoker(function, pool.invoke, self._send_to_arn)
            self._pools[function.logical_id] = pool
            self._invokers[function.logical_id] = invoker
            exit_stack.callback(invoker.stop)
            exit_stack.callback(pool.stop)
        pools = {pool.function.name: pool for pool in self._pools.values()}
        self._start_sources(exit_stack, pools)
        self._start_schedules(exit_stack)
        self.aws.answer_first(
            InvokeApi(
                {pool.function.name: pool.invoke for pool in self._pools.values()},
                {
                    pool.function.name: self._invokers[key].submit
                    for key, pool in self._pools.items()
                },
            )
        )
        sources = {
            definition.uuid: source
            for definition, source in zip(self.stack.event_sources, self._sources, strict=True)
        }
        self.aws.answer_first(CallsMotoLacks(sources, lambda: self.clients.sqs, self._url_of))
        self._function_urls.answer(lambda name, event: pools[name].invoke(event))
        exit_stack.callback(self._function_urls.stop)

    def _start_schedules(self, exit_stack: ExitStack) -> None:
        invokers = {pool.function.name: self._invokers[key] for key, pool in self._pools.items()}
        for definition in read_schedules(self.stack.resources):
            invoker = invokers[definition.function_name]
            schedule = Schedule(definition, invoker.submit, region=self.region)
            exit_stack.callback(schedule.stop)
            schedule.start()
            self._schedules.append((schedule, invoker))

    def _start_sources(self, exit_stack: ExitStack, pools: Mapping[str, RuntimePool]) -> None:
        for definition in self.stack.event_sources:
            pool = pools[definition.function_name]
            source = EventSource(
                definition,
                queue_url=self._url_of(definition.queue_arn),
                sqs=self.clients.sqs,
                invoke=pool.invoke,
                region=self.region,
                maximum_concurrency=self._maximum_runtimes,
            )
            # backwards: take nothing more, end the runtimes, then wait for the batches they held
            exit_stack.callback(source.stop)
            exit_stack.callback(pool.stop)
            exit_stack.callback(source.stop_polling)
            source.start()
            self._sources.append(source)

    def _runtime_settings(self) -> RuntimeSettings:
        bundle = str(self._authority.bundle_path)
        # what is elsewhere may be reached by the person's proxy alone
        elsewhere = bool(self._s3 or self._given_vendor)
        environment = {
            **(proxy_settings() if elsewhere else {}),
            **self._function_environment,
            "AWS_ENDPOINT_URL": self.aws.url,
            "SSL_CERT_FILE": bundle,
            "AWS_CA_BUNDLE": bundle,
        }
        if self._s3:
            environment["AWS_ENDPOINT_URL_S3"] = self._s3.url
        return RuntimeSettings(
            installation=install_runtime(self.state_folder / "runtime"),
            credentials=self._credentials_of(MAIN_FUNCTION),
            region=self.region,
            environment=environment,
            logs_folder=self.logs_path,
            traces=self._traces,
            enforce_memory=self._enforce_memory,
        )

    def _write_endpoints(self, exit_stack: ExitStack) -> None:
        api_base_url, token_url = self.vendor_urls
        s3 = self.s3_endpoint
        values = {
            "stack": self.stack.name,
            "aws_endpoint_url": self.aws.url,
            "s3_endpoint_url": s3.url,
            "region": self.region,
            "access_key_id": s3.credentials.access_key_id,
            "secret_access_key": s3.credentials.secret_access_key,
            "queue_url": self.queue_url,
            "dead_letter_queue_url": self.dead_letter_queue_url,
            "bucket": self.bucket,
            "event_bus": self.event_bus,
            "table": self.table,
            "api_base_url": api_base_url,
            "token_url": token_url,
            "callback_url": self.callback_url,
            "client_id": self.vendor.client_id if self.vendor else None,
            "client_secret": self.vendor.client_secret if self.vendor else None,
            "ca_bundle": str(self._authority.bundle_path),
        }
        exit_stack.callback(self.endpoints_path.unlink, missing_ok=True)
        _write_private(self.endpoints_path, json.dumps(values, indent=2) + "\n")

    def _is_quiet(self) -> bool:
        pending = sum(invoker.pending_count for invoker in self._invokers.values())
        return (
            not pending
            and not read_depth(self.clients.sqs, self.queue_url).total
            and not self.running_count
        )

    def _send_to_arn(self, queue_arn: str, body: str) -> None:
        self.clients.sqs.send_message(QueueUrl=self._url_of(queue_arn), MessageBody=body)

    def _url_of(self, queue_arn: str) -> str:
        name = queue_arn.rpartition(":")[2]
        return self.clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]


def _name_in(queue_url: str) -> str:
    return urlsplit(queue_url).path.rpartition("/")[2]


def _check_s3(url: str | None, key_id: str | None, secret: str | None) -> Endpoint | None:
    if url is None:
        if key_id or secret:
            raise CloudError("keys without an S3 endpoint: name the server by --s3-endpoint too")
        return None
    if not key_id or not secret:
        raise CloudError(
            f"--s3-endpoint {url} needs its keys: add --s3-access-key-id and --s3-secret-access-key"
        )
    parts = urlsplit(url)
    stays_here = parts.hostname in ("localhost", "127.0.0.1")
    if parts.scheme != "https" and not (parts.scheme == "http" and stays_here):
        raise CloudError(
            f"--s3-endpoint is {url!r}; give an https:// address (http:// only on this machine)"
        )
    return Endpoint(url.rstrip("/"), Credentials(key_id, secret))


def _check_vendor(api_base_url: str | None, token_url: str | None) -> tuple[str, str] | None:
    if api_base_url is None and token_url is None:
        return None
    if api_base_url is None or token_url is None:
        raise CloudError("another vendor has two addresses: give --api-base-url and --token-url")
    for option, url in (("--api-base-url", api_base_url), ("--token-url", token_url)):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise CloudError(f"{option} is {url!r}; it must be an https:// address")
    return api_base_url, token_url


def _check_trust(ca_bundle: Path | None, *, leaves_machine: bool) -> list[Path]:
    also_trusted = [public_roots()] if leaves_machine else []
    if ca_bundle is not None:
        try:
            check_bundle(ca_bundle)
        except NoCertificateError as error:
            raise CloudError(f"--ca-bundle {ca_bundle}: {error}") from error
        also_trusted.append(ca_bundle)
    return also_trusted


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
