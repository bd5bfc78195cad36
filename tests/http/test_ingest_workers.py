"""With ingest workers the same is promised as without: the tests of the ingest routes run again over two of them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import live as lives
from tests.http.test_browser import (
    test_a_closing_page_leaves_its_feedback_under_its_public_key,
    test_a_key_in_the_address_opens_nothing_else,
    test_a_preflight_is_answered_without_a_key,
    test_a_public_key_brings_no_feature_with_it,
    test_a_public_key_sends_feedback_alone,
)
from tests.http.test_errors import (
    test_a_body_over_its_size_is_refused_however_it_is_sent,
    test_a_field_that_does_not_fit_is_named,
    test_a_rejected_event_is_named_by_its_index_with_code_and_field,
    test_a_request_id_is_taken_over_only_when_it_is_harmless,
    test_a_time_that_makes_no_sense_has_its_own_code,
    test_an_encoding_that_does_not_hold_is_refused,
    test_an_unknown_path_is_refused_in_one_shape,
    test_every_body_that_is_not_json_is_refused_in_one_shape,
    test_every_route_answers_a_missing_key_in_one_shape,
    test_every_route_answers_a_wrong_method_in_one_shape,
    test_when_the_store_is_gone_clients_are_told_to_come_back,
)
from tests.http.test_ingest import (
    test_a_payload_is_stored_clean_and_never_logged,
    test_gzip_and_lines_are_taken,
    test_many_senders_at_once_each_hear_of_their_own_events,
    test_the_wire_examples_are_answered_as_written,
    test_what_was_answered_is_there_after_a_restart,
)
from tests.http.test_keys import test_what_is_not_a_key_opens_nothing
from tests.http.test_public import (
    test_a_sender_over_its_limit_is_told_when_to_come_back,
    test_an_ingest_key_has_a_quota_where_one_is_set,
)
from tests.http.test_traces import (
    client,
    test_a_refusal_is_a_status_in_the_encoding_that_was_sent,
    test_full_success_says_nothing,
    test_partial_success_is_answered_in_the_encoding_that_was_sent,
)
from tests.intake import body, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock

__all__ = [
    "client",
    "test_a_body_over_its_size_is_refused_however_it_is_sent",
    "test_a_closing_page_leaves_its_feedback_under_its_public_key",
    "test_a_field_that_does_not_fit_is_named",
    "test_a_key_in_the_address_opens_nothing_else",
    "test_a_payload_is_stored_clean_and_never_logged",
    "test_a_preflight_is_answered_without_a_key",
    "test_a_public_key_brings_no_feature_with_it",
    "test_a_public_key_sends_feedback_alone",
    "test_a_refusal_is_a_status_in_the_encoding_that_was_sent",
    "test_a_rejected_event_is_named_by_its_index_with_code_and_field",
    "test_a_request_id_is_taken_over_only_when_it_is_harmless",
    "test_a_sender_over_its_limit_is_told_when_to_come_back",
    "test_a_time_that_makes_no_sense_has_its_own_code",
    "test_an_encoding_that_does_not_hold_is_refused",
    "test_an_ingest_key_has_a_quota_where_one_is_set",
    "test_an_unknown_path_is_refused_in_one_shape",
    "test_every_body_that_is_not_json_is_refused_in_one_shape",
    "test_every_route_answers_a_missing_key_in_one_shape",
    "test_every_route_answers_a_wrong_method_in_one_shape",
    "test_full_success_says_nothing",
    "test_gzip_and_lines_are_taken",
    "test_many_senders_at_once_each_hear_of_their_own_events",
    "test_partial_success_is_answered_in_the_encoding_that_was_sent",
    "test_the_wire_examples_are_answered_as_written",
    "test_what_is_not_a_key_opens_nothing",
    "test_what_was_answered_is_there_after_a_restart",
    "test_when_the_store_is_gone_clients_are_told_to_come_back",
]


@pytest.fixture(scope="module", autouse=True)
def two_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lives, "INGEST_WORKERS", 2)
        yield


@pytest.fixture(scope="module")
def server(two_workers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("server"), clock=SetClock(NOW)) as running:
        assert running.fleet is not None
        yield running


@pytest.fixture
def admin(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as found:
        yield found


def test_a_worker_that_dies_is_replaced_and_what_it_answered_stays(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        assert server.fleet is not None
        with server.client("ingest") as first:
            assert first.post("/v1/events", content=body(inference(1))).json()["accepted"] == 1
        before = set(server.fleet.pids)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        with server.client("ingest") as again:  # waits in the port's queue until a new worker takes it
            told = again.post("/v1/events", content=body(inference(1), inference(2))).json()
        assert (told["accepted"], told["duplicates"]) == (1, 1)
        assert not before & set(server.fleet.pids)


def test_what_workers_counted_is_in_the_metrics_of_all(server: Live, admin: httpx.Client) -> None:
    counted = threading.Event()
    hear = server.fleet._metrics.observe  # type: ignore[union-attr]

    def observed(method: str, route: str, status: int, seconds: float) -> None:
        hear(method, route, status, seconds)
        if route == "/v1/inferences" and status == 400:
            counted.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.fleet._metrics, "observe", observed)  # type: ignore[union-attr]
        assert admin.post("/v1/inferences", json={"surprise": 1}).status_code == 400
        assert counted.wait(30)
    text = admin.get("/metrics").text
    assert 'trimtab_http_requests_total{method="POST",route="/v1/inferences",status="400"}' in text
    assert "trimtab_ingest_rejected_total" in text
