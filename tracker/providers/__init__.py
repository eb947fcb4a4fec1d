"""The only place that knows a wire format: one file per provider, both directions."""
