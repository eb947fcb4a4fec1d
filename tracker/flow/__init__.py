"""The way of a call, one step per file. Every write of the program goes through here."""
