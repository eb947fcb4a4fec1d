"""Commands that run the service and watch over it."""
