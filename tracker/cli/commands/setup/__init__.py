"""Commands for the first steps: configuration, simulator, demo."""
