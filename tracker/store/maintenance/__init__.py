"""SQL and file operations for backup, restore, copy, check and prune."""
