"""Join callbacks from the inbox to submissions and write the events that follow."""
