"""The stand-in's own switchboard, for people and programs that are not in its process.

`GET /stand-in` tells the time and the habits, `POST /stand-in` does one thing: {"do": "…"} and the
arguments of what is done. The vendor has no such page. It asks for a token as the API does, and
for JSON, which no page of another site can send unasked; it writes nothing into the journal.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING

from local.apartmentiq.messages import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from local.apartmentiq.messages import Request
    from local.apartmentiq.order_desk import OrderDesk

__all__ = ["CONTROL_PATH", "Control"]

CONTROL_PATH = "/stand-in"


class Control:
    """Answers requests for the switchboard; `commands` are what can be done, by name."""

    def __init__(
        self,
        now: Callable[[], datetime],
        orders: OrderDesk,
        commands: Mapping[str, Callable[..., object]],
    ) -> None:
        self._now, self._orders, self._commands = now, orders, commands

    def answer(self, request: Request) -> Answer:
        """Do or tell what a request asks, and say how things are then."""
        if request.method == "POST":
            try:
                self._do(request)
            except (TypeError, ValueError) as error:
                return json_answer(400, {"error": str(error)})
        elif request.method != "GET":
            return json_answer(405, {"error": "Method Not Allowed"})
        return json_answer(
            200,
            {
                "now": self._now().isoformat(timespec="seconds"),
                "habits": dataclasses.asdict(self._orders.habits),
                "commands": {
                    name: list(inspect.signature(command).parameters)
                    for name, command in self._commands.items()
                },
            },
        )

    def _do(self, request: Request) -> None:
        if request.headers.get_content_type() != "application/json":
            raise ValueError("the body must be application/json")
        fields = json.loads(request.body)
        if not isinstance(fields, dict) or fields.get("do") not in self._commands:
            raise ValueError(f'say {{"do": …}}, one of {", ".join(self._commands)}')
        command = self._commands[fields.pop("do")]
        inspect.signature(command).bind(**fields)
        command(**fields)
