"""Stores what decides whether a call may be dialled."""
