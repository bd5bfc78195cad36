"""Durable runs: a playbook's steps in order, each once, through kills and restarts. The engine behind it is DBOS.

DBOS keeps ids, names and counts only (never texts) in a database file of its own, and re-enters a run that was cut off
when it launches again. It is one per process by its nature, imported late (a second of CPU), and never sleeps in a
workflow: what waits is a row that a later tick advances.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import structlog

from trimtab.act.order import Order, Step
from trimtab.act.playbook import IncidentPlaybook
from trimtab.errors import Conflict, TrimtabError, Unavailable

__all__ = ["DbosRuns", "RunState", "Runs"]

_GRACE_S = 10.0  # how long closing waits for a step under way; it is done again at the next start
RunState = Literal["unknown", "running", "done", "failed"]

_WORKFLOW_FORMAT = "1"  # rises when the order of steps changes; DBOS then leaves older runs to older code
_STATES: dict[str, RunState] = {"SUCCESS": "done", "PENDING": "running", "ENQUEUED": "running"}
_in_process = threading.Lock()


class _CutOff(BaseException):
    """Leaves a workflow without an ending, so that it goes on at the next start. DBOS records only an Exception."""


class Runs(Protocol):
    """Durable execution of playbooks, by run id."""

    def start(self, order: Order) -> None:
        """Start the run, once per run id however often it is asked for; return without waiting unless inline."""
        ...

    def state(self, run_id: str) -> RunState:
        """Say how far a run is; "unknown" if it was never started here."""
        ...

    def close(self) -> None:
        """Stop; what was cut off goes on at the next start. A second call does nothing."""
        ...


class DbosRuns:
    """Runs on DBOS over SQLite. `inline` waits for each run to end, as a study under a set clock needs.

    Raises Conflict when this process already holds another one: DBOS allows one.
    """

    def __init__(self, playbook: IncidentPlaybook, path: Path, *, inline: bool = False) -> None:
        self._playbook = playbook
        self._path = path
        self._inline = inline
        self._workflow: Any = None
        self._launch_lock = threading.Lock()
        self._idle = threading.Condition()
        self._going = 0
        self._stopping = False
        if path.exists():  # a run may have been cut off
            self._launch()

    def start(self, order: Order) -> None:
        """Start the run under its id."""
        self._launch()
        from dbos import DBOS, SetWorkflowID  # noqa: PLC0415  a second of CPU, only where runs happen

        with SetWorkflowID(order.run_id):
            handle = DBOS.start_workflow(self._workflow, msgspec.to_builtins(order))
        if self._inline:
            handle.get_result()

    def state(self, run_id: str) -> RunState:
        """Ask DBOS."""
        if self._workflow is None and not self._path.exists():
            return "unknown"
        self._launch()
        from dbos import DBOS  # noqa: PLC0415

        status = DBOS.get_workflow_status(run_id)
        if status is None:
            return "unknown"
        return _STATES.get(status.status, "failed")

    def close(self) -> None:
        """Take DBOS down with its threads and connections, once the steps under way have ended or been given up."""
        with self._launch_lock:
            with self._idle:
                self._stopping = True
                self._idle.wait_for(lambda: self._going == 0, timeout=_GRACE_S)
            if self._workflow is None:
                return
            from dbos import DBOS  # noqa: PLC0415

            DBOS.destroy(destroy_registry=True)
            self._workflow = None
            _in_process.release()

    def _launch(self) -> None:
        with self._launch_lock:
            if self._stopping:
                raise Unavailable("the runs are closed; open the engine again")
            if self._workflow is not None:
                return
            if not _in_process.acquire(blocking=False):
                raise Conflict("this process already runs an engine with playbooks; close it first")
            try:
                self._workflow = _launch(self._path, self._go)
            except BaseException:
                _in_process.release()
                raise

    def _go(self, told: dict[str, Any]) -> str:
        """Carry out one run. Called by DBOS, again from the first unfinished step when a run was cut off."""
        with self._idle:
            self._going += 1
        try:
            order = msgspec.convert(told, Order)
            return (
                "done"
                if all(self._stepped(name, step, order) for name, step in self._playbook.steps(order))
                else "failed"
            )
        finally:
            with self._idle:
                self._going -= 1
                self._idle.notify_all()

    def _stepped(self, name: str, step: Step, order: Order) -> bool:
        """Do one step, or write down why it cannot be done. An engine that is closing is no reason."""
        from dbos import DBOS  # noqa: PLC0415

        def work(order: Order) -> dict[str, Any]:
            if self._stopping:
                raise _CutOff
            try:
                return step(order)
            except Exception:
                if self._stopping:
                    raise _CutOff from None
                raise

        try:
            DBOS.run_step({"name": name}, work, order)
        except Exception as error:  # noqa: BLE001  whatever stops a step, the run must say so
            if self._stopping:
                raise _CutOff from None
            kind = type(error).__name__
            structlog.get_logger("trimtab.runs").error("step failed", step=name, run=order.run_id, kind=kind)
            told = error.message if isinstance(error, TrimtabError) else f"{kind}: {error}"
            self._playbook.fail(order, f"{name}: {told}")
            return False
        return True


def _launch(path: Path, run: Callable[[dict[str, Any]], str]) -> Any:
    from dbos import DBOS, DBOSConfig  # noqa: PLC0415
    from dbos._serialization import Serializer  # noqa: PLC0415  its public name is not exported

    class JsonSerializer(Serializer):
        """Plain JSON in place of pickle: nothing in the workflow's file can run code."""

        def serialize(self, data: Any) -> str:
            return json.dumps(data, default=lambda value: f"{type(value).__name__}: {value}")

        def deserialize(self, serialized_data: str) -> Any:
            return json.loads(serialized_data)

        def name(self) -> str:
            return "trimtab_json"

    path.parent.mkdir(parents=True, exist_ok=True)
    config: DBOSConfig = {
        "name": "trimtab",
        "system_database_url": f"sqlite:///{path.resolve()}",
        "application_version": _WORKFLOW_FORMAT,
        "executor_id": "embedded",
        "log_level": "WARNING",
        "serializer": JsonSerializer(),
        "notification_listener_polling_interval_sec": 0.05,
    }

    def playbook(told: dict[str, Any]) -> str:  # DBOS marks the function it is given, and a method takes no marks
        return run(told)

    workflow = DBOS.workflow(name="playbook")(playbook)
    DBOS(config=config)
    DBOS.launch()
    return workflow
