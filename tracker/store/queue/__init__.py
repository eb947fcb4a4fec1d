"""Stores jobs and what workers share: heartbeats, counters, rate limits, keys and digests."""
