"""What the words mean: values and pure functions, no I/O and no clock."""
