"""Writes calls, callbacks and progress for people, and JSON for programs."""
