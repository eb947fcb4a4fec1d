"""Sends submissions to the provider, once each, and records the responses."""
