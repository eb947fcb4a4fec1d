"""The only way in which events of calls are written."""
