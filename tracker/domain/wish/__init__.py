"""The wish for a call: its fields, each declared once, and how their values are read."""
