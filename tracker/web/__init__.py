"""HTTP: the provider's side, the API, and the health of this process. The only place that imports starlette, beside
the simulator. It reads through `store.queries` and writes through `flow`."""
