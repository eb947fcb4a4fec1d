"""SQL for stored callbacks and for what matching reads."""
