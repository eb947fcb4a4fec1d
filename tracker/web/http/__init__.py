"""HTTP on the wire: the protocol, its limits, bodies, problems and the access log."""
