"""HTTP for every endpoint: the protocol and its limits, request bodies, error responses, the access log."""
