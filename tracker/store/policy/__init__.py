"""SQL for what decides whether dialling is allowed."""
