"""Stores calls, submissions, events, secret variables and exchanges."""
