"""Back up, restore, copy, prune and tidy a database."""
