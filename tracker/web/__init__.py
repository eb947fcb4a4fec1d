"""HTTP: the endpoint of callbacks, the API, and the health of the process.

It reads through `store.read` and writes through `lifecycle`. Beside the simulator it is the only package that imports
starlette.
"""
