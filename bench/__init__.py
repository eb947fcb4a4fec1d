"""How fast tracker is, measured: `scripts/bench`. Nothing here belongs to the program; nothing of the program needs it.

- `plan` says which calls there are and what the provider says of each, so that all parts agree without asking.
- `stories` has the program play each kind of call once, `copying` copies what that left, `fill` fills databases so.
- `load` sends callbacks as a provider does, cheaply enough that the server is what is measured.
- `bare` is what a server can do at most; `taught`, `taught_app` the receiver that one writes first.
- `servers`, `postgres` run what is measured, `phases` measure it, `looking` looks into tracker's database from outside.
- `contest` runs the contestants, `reading` asks a large database, `profiling` watches where the time goes.
- `report` makes tables, `__main__` is the command.
"""
