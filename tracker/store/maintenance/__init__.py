"""SQL and file operations for backup, restore, copy and prune."""
