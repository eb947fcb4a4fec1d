"""SQL for calls, submissions, events and exchanges."""
