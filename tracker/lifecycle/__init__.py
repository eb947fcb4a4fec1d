"""The use cases: placing, sending, receiving, joining and what follows. Every write goes through here."""
