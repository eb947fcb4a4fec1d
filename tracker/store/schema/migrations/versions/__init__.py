"""One file for each step, named by its number; a released one never changes."""
