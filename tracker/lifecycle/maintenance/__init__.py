"""Restore, copy, prune and tidy a database, and begin a new inbox."""
