"""As many runtimes of one function as are needed at once, up to a maximum, warm ones first.

It must not look into events or answers; event_source.py and asynchronous.py do that.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import TYPE_CHECKING, Protocol

from local.aws.runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from local.aws.definitions import FunctionDefinition
    from local.aws.runtime import Invocation, RuntimeSettings

__all__ = ["InvocationWatcher", "RuntimePool", "ThrottledError"]


class InvocationWatcher(Protocol):
    """Is told of every invocation, in the thread that waits for it."""

    def began(self, runtime: Runtime, event: object) -> None:
        """Act before the event is handed over."""

    def ended(self, runtime: Runtime, invocation: Invocation) -> None:
        """Act before the runtime takes another event and the queue learns the outcome."""


class ThrottledError(Exception):
    """Lambda refuses the invocation: the function's reserved concurrency is used up."""


class RuntimePool:
    """Thread-safe; an invocation beyond the maximum waits for a runtime to become free.

    One beyond the function's reserved concurrency is refused, as by Lambda.
    """

    def __init__(
        self, function: FunctionDefinition, settings: RuntimeSettings, maximum: int
    ) -> None:
        self.function = function
        self.settings = settings
        self._maximum = maximum
        self._changed = Condition()
        self._idle: list[Runtime] = []
        self._busy: list[Runtime] = []
        self._history: list[Invocation] = []
        self._log_paths: list[Path] = []
        self._stopped = False
        self._throttled_at: list[float] = []
        self._watchers: list[InvocationWatcher] = []
        # The kernel ties a child's life to the thread that started it: this one lasts.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="runtime-starter")

    def invoke(self, event: object) -> Invocation:
        """Run one invocation on a warm runtime if there is one; raises RuntimeStartError."""
        runtime = self._take()
        try:
            if not runtime.is_alive:
                self._starter.submit(runtime.start).result()
            for watcher in self._watchers:
                watcher.began(runtime, event)
            invocation = runtime.invoke(event)
            for watcher in self._watchers:
                watcher.ended(runtime, invocation)
        finally:
            self._give_back(runtime)
        with self._changed:
            self._history.append(invocation)
        return invocation

    def watch(self, watcher: InvocationWatcher) -> None:
        """Tell `watcher` of all invocations from now on."""
        self._watchers.append(watcher)

    @property
    def busy_count(self) -> int:
        """How many invocations run now."""
        with self._changed:
            return len(self._busy)

    def invocations(self) -> list[Invocation]:
        """Return all invocations so far, in order of their end."""
        with self._changed:
            return list(self._history)

    def throttled_at(self) -> list[float]:
        """Return when invocations were refused, in epoch seconds."""
        with self._changed:
            return list(self._throttled_at)

    def log_paths(self) -> list[Path]:
        """Return one log file per runtime that was ever started."""
        with self._changed:
            return list(self._log_paths)

    def kill_busy(self) -> int:
        """SIGKILL the processes of all running invocations; returns how many there were."""
        with self._changed:
            return sum(runtime.kill() for runtime in self._busy)

    def freeze_busy(self) -> int:
        """Stop the processes of all running invocations where they are; returns how many."""
        with self._changed:
            return sum(runtime.freeze() for runtime in self._busy)

    def retire_idle(self) -> None:
        """End all idle runtimes, so that the next invocations are cold."""
        with self._changed:
            for runtime in self._idle:
                runtime.stop()

    def stop(self) -> None:
        """End every runtime, busy or not, and take no more invocations."""
        with self._changed:
            self._stopped = True
            runtimes = [*self._idle, *self._busy]
            self._changed.notify_all()
        for runtime in runtimes:
            runtime.stop()
        self._starter.shutdown(wait=True, cancel_futures=True)

    def _take(self) -> Runtime:
        with self._changed:
            reserved = self.function.reserved_concurrency
            if reserved is not None and len(self._busy) >= reserved:
                self._throttled_at.append(time.time())
                raise ThrottledError(f"{self.function.name}: {reserved} runs are all it may have")
            self._changed.wait_for(self._may_take)
            if self._stopped:
                raise RuntimeError(f"{self.function.name}: the pool has stopped")
            runtime = self._idle.pop() if self._idle else self._add()
            self._busy.append(runtime)
            return runtime

    def _may_take(self) -> bool:
        return self._stopped or bool(self._idle) or len(self._busy) < self._maximum

    def _add(self) -> Runtime:
        runtime = Runtime(self.function, self.settings, len(self._log_paths) + 1)
        self._log_paths.append(runtime.log_path)
        return runtime

    def _give_back(self, runtime: Runtime) -> None:
        with self._changed:
            self._busy.remove(runtime)
            self._idle.append(runtime)
            if self._stopped:
                runtime.stop()
            self._changed.notify()
