"""Callbacks over HTTP: authenticate, store and answer them."""
