"""Reads the values that people type as options and arguments."""
