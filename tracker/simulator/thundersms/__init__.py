"""The HTTP dialect of ThunderSMS, as the simulator speaks it."""
