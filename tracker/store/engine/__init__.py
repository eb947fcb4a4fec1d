"""Connections, transactions and bulk statements for SQLite and PostgreSQL."""
