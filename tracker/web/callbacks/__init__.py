"""The provider's side: take callbacks in, authenticate and store them."""
