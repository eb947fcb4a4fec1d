"""Commands that place calls and show them."""
