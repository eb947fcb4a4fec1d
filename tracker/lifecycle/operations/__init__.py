"""What operators do and ask: joins by hand, pauses, health."""
