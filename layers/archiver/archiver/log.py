"""A structured logger, as the use cases ask for one: the functions hand in Powertools'."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Log"]


class Log(Protocol):
    """Takes a message and its fields by keyword; `exception` adds the error at hand."""

    def info(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401, D102 - the logger's own
    def warning(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401, D102
    def error(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401, D102
    def exception(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401, D102
