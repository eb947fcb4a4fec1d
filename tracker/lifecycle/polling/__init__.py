"""Asks the provider about submissions without an outcome."""
