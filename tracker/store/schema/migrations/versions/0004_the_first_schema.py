"""the first schema

Earlier numbers belong to versions that were never released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # on SQLite the inbox lies in a file of its own
    if op.get_context().dialect.name == "postgresql":
        op.create_table(
            "inbox",
            sa.Column(
                "position",
                sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
                autoincrement=True,
                nullable=False,
            ),
            sa.Column("id", sa.String(), nullable=False),
            sa.Column("account", sa.String(), nullable=False),
            sa.Column("lane", sa.String(), nullable=True),
            sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("method", sa.String(), nullable=False),
            sa.Column("size", sa.Integer(), nullable=False),
            sa.Column("remote", sa.String(), nullable=True),
            sa.Column("state", sa.String(), nullable=False),
            sa.Column("reason", sa.String(), nullable=True),
            sa.Column("fingerprint", sa.String(), nullable=True),
            sa.Column("path", sa.LargeBinary(), nullable=False),
            sa.Column("query", sa.LargeBinary(), nullable=False),
            sa.Column("headers", sa.LargeBinary(), nullable=False),
            sa.Column("body", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint("position", name=op.f("pk_inbox")),
            sqlite_autoincrement=True,
        )
        op.create_index("uq_inbox_id", "inbox", ["id"], unique=True)
    op.create_table(
        "callbacks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("heuristic_number", sa.String(), nullable=True),
        sa.Column("duplicate_key", sa.String(), nullable=True),
        sa.Column("matched_by", sa.String(), nullable=True),
        sa.Column("submission_id", sa.String(), nullable=True),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("repeat_of", sa.String(), nullable=True),
        sa.Column("manual_match", sa.String(), nullable=True),
        sa.Column("match_retries", sa.Integer(), nullable=False),
        sa.Column("next_match_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05},
    )
    op.create_index("ix_callbacks_account", "callbacks", ["account", "received_at", "id"], unique=False)
    op.create_index(
        "ix_callbacks_call",
        "callbacks",
        ["call_id", "received_at", "id"],
        unique=False,
        sqlite_where=sa.text("call_id IS NOT NULL"),
        postgresql_where=sa.text("call_id IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_duplicate_key",
        "callbacks",
        ["duplicate_key"],
        unique=False,
        sqlite_where=sa.text("duplicate_key IS NOT NULL"),
        postgresql_where=sa.text("duplicate_key IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_heuristic_number",
        "callbacks",
        ["heuristic_number", "received_at"],
        unique=False,
        sqlite_where=sa.text("heuristic_number IS NOT NULL"),
        postgresql_where=sa.text("heuristic_number IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_next_match",
        "callbacks",
        ["next_match_at"],
        unique=False,
        sqlite_where=sa.text("next_match_at IS NOT NULL"),
        postgresql_where=sa.text("next_match_at IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_repeat_of",
        "callbacks",
        ["repeat_of"],
        unique=False,
        sqlite_where=sa.text("repeat_of IS NOT NULL"),
        postgresql_where=sa.text("repeat_of IS NOT NULL"),
    )
    op.create_index(
        "ix_callbacks_unjoined",
        "callbacks",
        ["state", "received_at", "id"],
        unique=False,
        sqlite_where=sa.text("state <> 'joined'"),
        postgresql_where=sa.text("state <> 'joined'"),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("bridge", sa.String(), nullable=False),
        sa.Column("flow_id", sa.String(), nullable=True),
        sa.Column("audio", sa.String(), nullable=True),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("interval", sa.Integer(), nullable=True),
        sa.Column("webhook_id", sa.String(), nullable=True),
        sa.Column("campaign", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("rule", sa.String(), nullable=True),
        sa.Column("policy", sa.String(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("recording_url", sa.String(), nullable=True),
        sa.Column("dtmf", sa.String(), nullable=True),
        sa.Column("charges", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05},
    )
    op.create_index("ix_calls_account", "calls", ["account", "created_at", "id"], unique=False)
    op.create_index(
        "ix_calls_campaign",
        "calls",
        ["campaign", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("campaign IS NOT NULL"),
        postgresql_where=sa.text("campaign IS NOT NULL"),
    )
    op.create_index(
        "ix_calls_campaign_changed",
        "calls",
        ["campaign", "updated_at", "id"],
        unique=False,
        sqlite_where=sa.text("campaign IS NOT NULL"),
        postgresql_where=sa.text("campaign IS NOT NULL"),
    )
    op.create_index(
        "ix_calls_changed", "calls", ["status", "settled", "updated_at", "id", "created_at"], unique=False
    )
    op.create_index(
        "ix_calls_disputed",
        "calls",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("disputed"),
        postgresql_where=sa.text("disputed"),
    )
    op.create_index(
        "ix_calls_reference",
        "calls",
        ["reference", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("reference IS NOT NULL"),
        postgresql_where=sa.text("reference IS NOT NULL"),
    )
    op.create_index(
        "ix_calls_status", "calls", ["status", "settled", "created_at", "id", "updated_at"], unique=False
    )
    op.create_index("ix_calls_to", "calls", ["to", "created_at", "id"], unique=False)
    op.create_table(
        "counts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "account", name=op.f("pk_counts")),
    )
    op.create_table(
        "inbox_removals",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_inbox_removals")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paced", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        postgresql_with={
            "fillfactor": 50,
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.05,
        },
    )
    op.create_index("ix_jobs_due", "jobs", ["kind", "due_at", "id"], unique=False)
    op.create_index("uq_jobs_kind_subject", "jobs", ["kind", "subject"], unique=True)
    op.create_table(
        "pace",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("dialled", sa.JSON(), nullable=False),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_pace")),
    )
    op.create_table(
        "positions",
        sa.Column("consumer", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_positions")),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "call_secrets",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_call_secrets_call_id")),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_call_secrets")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("submission_id", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("dial", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at_source", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("provider_status", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("matched_by", sa.String(), nullable=True),
        sa.Column("callback_id", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_events_call_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("uq_events_call_key", "events", ["call_id", "key"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_idempotency_keys_call_id")),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_call_id"), "idempotency_keys", ["call_id"], unique=False)
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("bridge", sa.String(), nullable=False),
        sa.Column("flow_id", sa.String(), nullable=True),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=True),
        sa.Column("provider_id", sa.String(), nullable=True),
        sa.Column("provider_key", sa.String(), nullable=True),
        sa.Column("provider_base", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_submissions_call_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        postgresql_with={
            "fillfactor": 80,
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.05,
        },
    )
    op.create_index(
        "ix_submissions_lease",
        "submissions",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index("ix_submissions_provider_base", "submissions", ["provider_base"], unique=False)
    op.create_index("ix_submissions_provider_key", "submissions", ["provider_key"], unique=False)
    op.create_index("ix_submissions_to", "submissions", ["account", "to", "requested_at"], unique=False)
    op.create_index("uq_submissions_call", "submissions", ["call_id", "number"], unique=True)
    op.create_table(
        "waiting_keys",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("callback_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["callback_id"], ["callbacks.id"], name=op.f("fk_waiting_keys_callback_id")),
        sa.PrimaryKeyConstraint("account", "key", "callback_id", name=op.f("pk_waiting_keys")),
    )
    op.create_index(op.f("ix_waiting_keys_callback_id"), "waiting_keys", ["callback_id"], unique=False)
    op.create_table(
        "exchanges",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("submission_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("request_headers", sa.LargeBinary(), nullable=False),
        sa.Column("request_body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("reply_headers", sa.LargeBinary(), nullable=False),
        sa.Column("reply_body", sa.LargeBinary(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("readings", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_exchanges_call_id")),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submissions.id"], name=op.f("fk_exchanges_submission_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchanges")),
    )
    op.create_index(op.f("ix_exchanges_call_id"), "exchanges", ["call_id"], unique=False)
    op.create_index(op.f("ix_exchanges_submission_id"), "exchanges", ["submission_id"], unique=False)
