"""Validates a call request and records the call once."""
