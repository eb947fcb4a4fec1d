"""Translates between tracker and the wire formats of providers; no other package knows one."""
