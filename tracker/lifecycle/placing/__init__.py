"""Validate a call request and record the call once."""
