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
from typing import Any, Literal, Protocol, TypeVar

import msgspec
import structlog

from trimtab.act.order import Order, Step
from trimtab.act.playbook import IncidentPlaybook
from trimtab.errors import Conflict, TrimtabError, Unavailable

__all__ = ["DbosRuns", "RunState", "Runs"]

_PATIENCE_S = 900.0  # how long a step is tried again while the store or an endpoint is away
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 60.0
_DRIVERS = frozenset({"sqlalchemy", "sqlite3", "psycopg"})  # DBOS passes on what its database raises
_GRACE_S = 10.0  # how long closing waits for a step under way; it is done again at the next start
RunState = Literal["unknown", "running", "done", "failed"]

_WORKFLOW_FORMAT = "1"  # rises when the order of steps changes; DBOS then leaves older runs to older code
_STATES: dict[str, RunState] = {"SUCCESS": "done", "PENDING": "running", "ENQUEUED": "running"}
_in_process = threading.Lock()
R = TypeVar("R")


class _CutOff(BaseException):
    """Leaves a workflow without an ending, so that it goes on at the next start. DBOS records only an Exception."""


class Runs(Protocol):
    """Durable execution of playbooks, by run id."""

    def prepare(self) -> None:
        """Do now what the first run would else wait for; a failure is met again, and told, by that run."""
        ...

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

    A step that finds the store or an endpoint away is tried again for 15 minutes, unless `inline`. A run whose
    progress DBOS could not write down (the disk is full) is let go, and taken up by the next `start` under its id.

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
        self._ending = threading.Event()
        self._let_go: set[str] = set()
        if path.exists():  # a run may have been cut off
            try:
                self._launch()
            except Unavailable as error:  # tried again when a run is looked at; events are taken meanwhile
                structlog.get_logger("trimtab.runs").error("runs cannot go on yet", error=error.message)

    def prepare(self) -> None:
        """Launch DBOS, which takes about a second. Safe from any thread."""
        try:
            self._launch()
        except Exception as error:  # noqa: BLE001  the first run says it to whom it concerns
            structlog.get_logger("trimtab.runs").warning("cannot prepare for runs yet", kind=type(error).__name__)

    def start(self, order: Order) -> None:
        """Start the run under its id."""
        self._launch()
        from dbos import DBOS, SetWorkflowID  # noqa: PLC0415  a second of CPU, only where runs happen

        try:
            if order.run_id in self._let_go:
                handle = DBOS.resume_workflow(order.run_id)
                self._let_go.discard(order.run_id)
            else:
                with SetWorkflowID(order.run_id):
                    handle = DBOS.start_workflow(self._workflow, msgspec.to_builtins(order))
        except Exception as error:
            raise self._explained(error) from error
        if self._inline:
            handle.get_result()

    def state(self, run_id: str) -> RunState:
        """Ask DBOS. A run that was let go counts as unknown, so that it is started again."""
        if self._workflow is None and not self._path.exists():
            return "unknown"
        self._launch()
        from dbos import DBOS  # noqa: PLC0415

        try:
            status = DBOS.get_workflow_status(run_id)
        except Exception as error:
            raise self._explained(error) from error
        if status is None or run_id in self._let_go:
            return "unknown"
        return _STATES.get(status.status, "failed")

    def close(self) -> None:
        """Take DBOS down with its threads and connections, once the steps under way have ended or been given up."""
        with self._launch_lock:
            with self._idle:
                self._stopping = True
                self._ending.set()
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
            except Exception as error:
                _taken_down()
                _in_process.release()
                raise self._explained(error) from error
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
            return self._patiently(lambda: step(order))

        try:
            DBOS.run_step({"name": name}, work, order)
        except Exception as error:  # noqa: BLE001  whatever stops a step, the run must say so
            if self._stopping:
                raise _CutOff from None
            if _is_database(error):
                self._let_go.add(order.run_id)
                structlog.get_logger("trimtab.runs").error(
                    "run let go: its progress cannot be written down", step=name, run=order.run_id
                )
                raise _CutOff from None
            kind = type(error).__name__
            structlog.get_logger("trimtab.runs").error("step failed", step=name, run=order.run_id, kind=kind)
            told = f"{name}: {error.message if isinstance(error, TrimtabError) else f'{kind}: {error}'}"
            self._patiently(lambda: self._playbook.fail(order, told))
            return False
        return True

    def _patiently(self, verb: Callable[[], R]) -> R:
        """Do it, again and again while something it needs is away; let the run be cut off when the engine closes."""
        waited, pause = 0.0, _FIRST_PAUSE_S
        while True:
            if self._stopping:
                raise _CutOff
            try:
                return verb()
            except Unavailable:
                if self._inline or waited >= _PATIENCE_S:
                    raise
            except Exception:
                if self._stopping:
                    raise _CutOff from None
                raise
            self._ending.wait(pause)
            waited, pause = waited + pause, min(2 * pause, _MAX_PAUSE_S)

    def _explained(self, error: Exception) -> Exception:
        """Return what to raise for an error of DBOS: Unavailable where its database cannot be used now."""
        if not _is_database(error):
            return error
        said = str(error).splitlines()[0]
        return Unavailable(f"the record of runs cannot be used; check the disk ({str(self._path)!r}: {said})")


def _is_database(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _DRIVERS


def _taken_down() -> None:
    """Undo half a launch, so that the next one begins anew."""
    from dbos import DBOS  # noqa: PLC0415

    DBOS.destroy(destroy_registry=True)


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
