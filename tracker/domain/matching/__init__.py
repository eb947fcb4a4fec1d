"""Decides to which submission a callback belongs.

- `facts`: the receipts and submissions that are compared, and the verdicts
- `match`: the entry; certain joins first, then the heuristics
- `ids`: joins by the provider's submission id, by our own id, or by the message id
- `heuristics`: joins by an equal callback, by lane and number, or by number and time
"""
