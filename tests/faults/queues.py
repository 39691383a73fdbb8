"""SQS in memory: delays, visibility, receive counts, redrive, duplicates and late deliveries.

Document: Amazon SQS Developer Guide, "Visibility timeout", "Delay queues", "Dead-letter queues",
"At-least-once delivery".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.aws_calls import call_aws, client_error, service_faults
from tests.faults.chaos import Chaos

__all__ = ["DEAD_LETTERS", "QUEUE", "Letter", "Queues"]

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/archiver-queue"
DEAD_LETTERS = "https://sqs.us-east-1.amazonaws.com/123456789012/archiver-dead-letters"
_FAULTS = service_faults("sqs")
_MAX_DELAY_SECONDS = 900
_MAX_VISIBILITY_SECONDS = 43_200


@dataclass
class Letter:
    """One message. `history` tells what became of each of its receives."""

    message_id: str
    body: str
    attributes: dict[str, str]
    sent_at: float
    by_function: bool
    visible_at: float = 0.0
    receives: int = 0
    first_received_at: float = 0.0
    handle: str = ""
    deleted: bool = False
    redriven: bool = False  # by SQS itself: no attribute tells why
    history: list[str] = field(default_factory=list)
    acknowledged: bool = False  # the function said that it is done, and no fault kept it
    delete_lost: bool = False
    twice_at: int = 0  # at which receive SQS delivered it twice
    sent_in: Any = None  # the invocation that sent it
    chain: int = 0  # of invocations that led to it, each by sending a message


class Queues:
    """A client's methods for both queues, and the queue's own life."""

    def __init__(self, chaos: Chaos, *, visibility_seconds: float, max_receives: int) -> None:
        self.messages: dict[str, Letter] = {}
        self.dead: list[Letter] = []
        self.sent: list[Letter] = []
        self.when_visible: Callable[[], None] = lambda: None
        self.visibility_seconds = visibility_seconds
        self.max_receives = max_receives
        self._chaos = chaos
        self._count = 0

    # --- what the function calls ---

    def send_message(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Take a message of the function's."""
        attributes = {
            name: value["StringValue"] for name, value in call["MessageAttributes"].items()
        }
        if len(attributes) > 10 or not all(attributes.values()):
            raise self._chaos.violate(f"SQS refuses these attributes: {attributes}")

        def act() -> dict[str, Any]:
            letter = self._put(
                call["QueueUrl"],
                call["MessageBody"],
                attributes,
                delay=call.get("DelaySeconds", 0),
                by_function=True,
            )
            return {"MessageId": letter.message_id}

        to = "dead letters" if call["QueueUrl"] == DEAD_LETTERS else "queue"
        return call_aws(self._chaos, f"sqs SendMessage to {to}", act, _FAULTS)

    def send_message_batch(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Take messages of the sweep's."""
        entries = call["Entries"]
        if not 1 <= len(entries) <= 10:
            raise self._chaos.violate(f"SQS refuses a batch of {len(entries)}")

        def act() -> dict[str, Any]:
            for entry in entries:
                body = entry["MessageBody"]
                self._put(call["QueueUrl"], body, {}, delay=0, by_function=True)
            return {"Successful": [{"Id": entry["Id"]} for entry in entries]}

        return call_aws(self._chaos, "sqs SendMessageBatch", act, _FAULTS)

    def change_message_visibility(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Hide a message for some seconds from now on."""

        def act() -> dict[str, Any]:
            letter = self._held(call["ReceiptHandle"])
            if not 0 <= call["VisibilityTimeout"] <= _MAX_VISIBILITY_SECONDS:
                raise self._chaos.violate(f"SQS refuses {call['VisibilityTimeout']} s")
            self._hide(letter, call["VisibilityTimeout"])
            return {}

        name = f"sqs ChangeMessageVisibility {call['VisibilityTimeout']}"
        return call_aws(self._chaos, name, act, _FAULTS)

    # --- what others do ---

    def put(
        self, body: str, *, delay: float = 0.0, attributes: Mapping[str, str] | None = None
    ) -> Letter:
        """Send a message as somebody else does."""
        return self._put(QUEUE, body, attributes or {}, delay=delay, by_function=False)

    def redrive(self) -> list[Letter]:
        """Move all dead letters back, as a person does."""
        moved, self.dead = self.dead, []
        for letter in moved:
            self._put(
                QUEUE, letter.body, letter.attributes, delay=0, by_function=letter.by_function
            )
        return moved

    def receive(self) -> Letter | None:
        """Hand out a visible message; one that was received too often goes to the dead letters."""
        while True:
            letter = self._any_visible()
            if letter is None:
                return None
            if letter.receives < self.max_receives:
                break
            letter.redriven = True
            self._remove(letter)
            self.dead.append(letter)
            self._chaos.note(f"SQS redrives {letter.message_id}")
        if letter.acknowledged:
            raise self._chaos.violate(f"{letter.message_id} came back though it was acknowledged")
        letter.receives += 1
        letter.first_received_at = letter.first_received_at or self._chaos.scheduler.now
        letter.handle = f"{letter.message_id}/{letter.receives}"
        self._hide(letter, self.visibility_seconds)
        if self._chaos.draws(0.5):
            self._chaos.count("queue", "message delivered twice")
            letter.twice_at = letter.receives
            self._hide(letter, self._chaos.random.choice([0.0, 0.1, 5.0, 60.0]))
        return letter

    def delete(self, letter: Letter) -> None:
        """Delete an acknowledged message; that can be lost."""
        if self._chaos.draws(0.5):
            self._chaos.count("queue", "delete of a message lost")
            letter.delete_lost = True
            return
        letter.acknowledged = True
        self._remove(letter)

    def drop(self, letter: Letter) -> None:
        """Lose a message, as Lambda does with one that it takes for a loop."""
        self._remove(letter)

    # --- inside ---

    def _put(
        self, url: str, body: str, attributes: Mapping[str, str], *, delay: float, by_function: bool
    ) -> Letter:
        if not 0 <= delay <= _MAX_DELAY_SECONDS:
            raise self._chaos.violate(f"SQS refuses a delay of {delay} s")
        self._count += 1
        now = self._chaos.scheduler.now
        letter = Letter(f"m{self._count}", body, dict(attributes), now, by_function)
        letter.sent_in = self._chaos.run()
        sender = getattr(letter.sent_in, "letter", None)
        letter.chain = sender.chain + 1 if isinstance(sender, Letter) else 0
        self.sent.append(letter)
        if url == DEAD_LETTERS:
            self.dead.append(letter)
            return letter
        if url != QUEUE:
            raise self._chaos.violate(f"no such queue: {url}")
        if self._chaos.draws(0.5):
            self._chaos.count("queue", "message delivered late")
            delay += self._chaos.random.uniform(1, 300)
        self.messages[letter.message_id] = letter
        self._hide(letter, delay)
        return letter

    def _held(self, handle: str) -> Letter:
        letter = self.messages.get(handle.partition("/")[0])
        if letter is None:
            raise client_error("ReceiptHandleIsInvalid", 404, "ChangeMessageVisibility")
        # SQS promises nothing for the handle of an earlier receive.
        if handle != letter.handle and self._chaos.random.random() < 0.5:
            raise client_error("InvalidParameterValue", 400, "ChangeMessageVisibility")
        return letter

    def _hide(self, letter: Letter, seconds: float) -> None:
        scheduler = self._chaos.scheduler
        letter.visible_at = scheduler.now + seconds
        scheduler.at(letter.visible_at, self._tell_visible)

    def _tell_visible(self) -> None:
        self.when_visible()

    def _any_visible(self) -> Letter | None:
        now = self._chaos.scheduler.now
        visible = [letter for letter in self.messages.values() if letter.visible_at <= now]
        return self._chaos.random.choice(visible) if visible else None  # a queue keeps no order

    def _remove(self, letter: Letter) -> None:
        letter.deleted = True
        self.messages.pop(letter.message_id, None)
