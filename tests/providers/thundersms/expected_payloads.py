"""Lists the parsed value of every documented payload, and the wish behind every documented request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tracker.domain.accounts import VariablesEncoding
from tracker.domain.call_reports import (
    CallReport,
    NotACall,
    StatusResult,
    SubmitResult,
    SubmitResultKind,
    UnreadableCallback,
)
from tracker.domain.calls import CallStatus, Reason


def at(hour: int, minute: int, second: int, *, day: int = 9, month: int = 4, year: int = 2021) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


PUSHED_FIELDS: dict[str, Any] = {
    "message_id": "1234-1333-00004",
    "to": "+918867130003",
    "bridge": "918068280001",
    "flow_id": "123",
    "started_raw": "2021-04-09 16:27:39",
    "started_at": at(10, 57, 39),
}
PUSHED_REPORT = CallReport(
    **PUSHED_FIELDS,
    provider_status="ANSWER",
    status=CallStatus.completed,
    ended_raw="2021-04-09 16:27:55",
    ended_at=at(10, 57, 55),
    duration_s=23,
    recording_url="https://youraudiofilelocation/",
)
COMPOSED_REPORT = CallReport(
    ids=("8456bf26-1b6e-4ac1-adb9-2768258f71d0",),
    to="+917619360003",
    provider_status="ANSWER",
    status=CallStatus.completed,
)

CALLBACKS: dict[str, CallReport | NotACall | UnreadableCallback] = {
    "obd_default_push_answer": PUSHED_REPORT,
    "obd_default_push_with_bearer_secret": PUSHED_REPORT,
    "obd_default_push_busy": CallReport(
        **PUSHED_FIELDS,
        provider_status="BUSY",
        status=CallStatus.busy,
        ended_raw="2021-04-09 16:27:41",
        ended_at=at(10, 57, 41),
        duration_s=0,
    ),
    "obd_default_push_noanswer": CallReport(
        **PUSHED_FIELDS,
        provider_status="NOANSWER",
        status=CallStatus.no_answer,
        ended_raw="2021-04-09 16:28:10",
        ended_at=at(10, 58, 10),
        duration_s=0,
    ),
    "obd_default_push_cancel": CallReport(
        **PUSHED_FIELDS,
        provider_status="CANCEL",
        status=CallStatus.canceled,
        reason=Reason.caller_hung_up,
        ended_raw="2021-04-09 16:27:45",
        ended_at=at(10, 57, 45),
        duration_s=0,
    ),
    "obd_default_push_docs_verbatim_invalid_json": UnreadableCallback(
        reason="the body is no JSON and cannot be repaired"
    ),
    "c2c_default_push_completed": CallReport(
        to="+918867130003",
        bridge="918068280001",
        provider_status="COMPLETED",
        status=CallStatus.completed,
        started_raw="2021-04-09 16:27:39",
        started_at=at(10, 57, 39),
        ended_raw="2021-04-09 16:27:55",
        ended_at=at(10, 57, 55),
        duration_s=23,
        recording_url="https://youraudiofilelocation/",
        click_to_call=True,
    ),
    "composed_get_query": COMPOSED_REPORT,
    "composed_post_json": CallReport(
        ids=COMPOSED_REPORT.ids,
        to=COMPOSED_REPORT.to,
        provider_status="ANSWER",
        status=CallStatus.completed,
        duration_s=3,
    ),
    "legacy_get_callback": CallReport(
        provider_status="ANSWER",
        status=CallStatus.completed,
        started_raw="2020-03-24 19:22:38",
        started_at=at(13, 52, 38, day=24, month=3, year=2020),
        ended_raw="2020-03-24 19:23:01",
        ended_at=at(13, 53, 1, day=24, month=3, year=2020),
        recording_url="https://youraudiofilelocation/",
    ),
}

SUBMIT_RESPONSES: dict[str, SubmitResult] = {
    "api_send_response_old": SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id="70fa87e0-9df9-4327-bc80-a561c48703d8:1",
        message="1 numbers accepted for delivery.",
        provider_status="200",
        charges="0.5000",
        accepted_raw="2019-08-16 15:09:51",
        accepted_at=at(9, 39, 51, day=16, month=8, year=2019),
    ),
    "api_send_response_new": SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id="3b69aca9-3b55-4e2d-bfe0-02b910dbe156",
        message="Calls queued successfully",
        provider_status="queued",
        charges="1",
        accepted_raw="2024-07-10T06:09:43.054164Z",
        accepted_at=datetime(2024, 7, 10, 6, 9, 43, 54164, tzinfo=UTC),
    ),
    "api_tts_response": SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id="52ecf5da-259b-4e0f-a2eb-XXXXXX",
        message="Calls queued successfully",
        provider_status="queued",
        charges="0.0005",
        accepted_raw="2023-01-23T12:13:25.666366Z",
        accepted_at=datetime(2023, 1, 23, 12, 13, 25, 666366, tzinfo=UTC),
    ),
    "api_c2c_response_new": SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id="26074c32-b316-4ffa-99d7-9f6a99da56d6",
        message="call initiated successfully",
        provider_status="200",
    ),
    "api_c2c_response_old": SubmitResult(
        kind=SubmitResultKind.unclear,
        reason=Reason.no_clear_answer,
        message="Call initiated successfully",
        provider_status="200",
    ),
    "api_error_status_error": SubmitResult(
        kind=SubmitResultKind.refused,
        reason=Reason.invalid_field,
        message="The given data was invalid.",
        provider_status="ERROR",
    ),
    "api_webhook_created": SubmitResult(
        kind=SubmitResultKind.accepted,
        submission_id="180ebbb5-9b6f-4c51-a98a-**********",
        message="Created successfully",
        provider_status="1",
        accepted_raw="2022-10-19T07:40:13.000000Z",
        accepted_at=at(7, 40, 13, day=19, month=10, year=2022),
    ),
}

STATUS_RESPONSES: dict[str, tuple[str, StatusResult]] = {
    "api_callstatus_old": (
        "047D8CFC-77d1-4f6c-bfb5-e81f1a1343a7",
        StatusResult(
            reports=(
                CallReport(
                    ids=("047d8cfc-77d1-4f6c-bfb5-e81f1a1343a7:1",),
                    to="+918900000224",
                    bridge="918068287602",
                    provider_status="ANSWER",
                    status=CallStatus.completed,
                    started_raw="2019-07-16 18:13:44",
                    started_at=at(18, 13, 44, day=16, month=7, year=2019),
                    ended_raw="2019-07-16 18:14:03",
                    ended_at=at(18, 14, 3, day=16, month=7, year=2019),
                    duration_s=19,
                    charges="0.1500",
                ),
            )
        ),
    ),
    "api_callstatus_pending_inferred": ("anything", StatusResult()),
    "api_call_logs": (
        "c839b4c4-8c0d-11e9-bb88-6c2b59c79f5a",
        StatusResult(
            reports=(
                CallReport(
                    ids=("c839b4c4-8c0d-11e9-bb88-6c2b59c79f5a",),
                    provider_status="RECEIVED",
                    status=CallStatus.completed,
                    started_raw="2019-06-11 05:57:24",
                    started_at=at(5, 57, 24, day=11, month=6, year=2019),
                    ended_raw="2019-06-11 05:57:36",
                    ended_at=at(5, 57, 36, day=11, month=6, year=2019),
                    duration_s=12,
                    charges="0.0150",
                ),
            )
        ),
    ),
}

SUBMIT_REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "request_seed_1": ({}, {"audio": "39888925-718e-43bb-a8b1-d4a3ab12cd34", "name": "obd_api_call"}),
    "request_seed_2": ({}, {"flow_id": "23", "name": "obd_api_call"}),
    "request_seed_3": ({}, {"flow_id": "24", "variables": {"Name": "YourName", "otp": "123456"}}),
    "request_seed_4": ({}, {"audio": "http://youraudiofilelocation.mp3", "name": "obd_api_call"}),
    "request_send_flow_variables": (
        {},
        {
            "to": "+917619360003",
            "bridge": "918068280001",
            "flow_id": "24",
            "variables": {"Name": "YourName", "otp": "123456"},
        },
    ),
    "request_send_form_2021": (
        {"variables_encoding": VariablesEncoding.form, "webhook_id": "180ebbb5-9b6f-4c51-a98a-000000000000"},
        {
            "to": "+917619360003",
            "bridge": "918068280001",
            "flow_id": "24",
            "variables": {"Name": "YourName", "otp": "123456"},
        },
    ),
}
