"""Find the submission that a callback belongs to."""
