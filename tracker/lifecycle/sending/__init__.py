"""Send a submission to the provider once and record its answer."""
