"""Store callbacks before they are answered."""
