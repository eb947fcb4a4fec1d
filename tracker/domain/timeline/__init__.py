"""Derives the state of a call from its events.

- `event_order`: the order of the events in the timeline
- `submission_state`: the status and outcome of one submission
- `fold`: the timeline, with the status and outcome of the call
"""
