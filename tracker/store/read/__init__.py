"""Queries for the API, the command line and the pages."""
