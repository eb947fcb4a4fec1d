"""Runs some calls from the request to the outcome in one process: server, worker and a simulated provider.

`scenario` lists the calls with their faults, `run` runs both servers in threads and places the calls, and `summary`
counts what came of them. `tracker demo` shows it.
"""
