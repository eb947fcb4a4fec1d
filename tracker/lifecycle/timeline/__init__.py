"""Loads calls with their events, and writes new events and what follows from them."""
