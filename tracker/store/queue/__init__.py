"""SQL for due work: jobs, heartbeats, counters, keyed digests."""
