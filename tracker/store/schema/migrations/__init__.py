"""The migrations from one schema to the next; docs/contributing/migrations.md says how one is made."""
