"""Runs the whole way of some calls in one process: the server with its worker, and a simulated provider.

`scenario` says who is called and what goes wrong, `run` starts both servers and places the calls, and `summary` counts
what came of them. `tracker demo` shows it.
"""
