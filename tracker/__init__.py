"""tracker: one trustworthy answer for every outbound voice call.

A provider accepts a call and tells a webhook, some time later, what became of it. tracker places the call, takes the
callbacks, joins the two, and says what happened, when, and how we know.

The words
---------

- **Account**: one set of credentials at one provider, named in the configuration. Its name is the path of its
  callback URL.
- **Campaign**: a named batch of calls, usually from a CSV file.
- **Call**: the wish to reach one number with one message. Lives until it is settled, however many attempts that takes.
- **Submission**: one attempt, one request to the provider for one number. Has our id before it is sent and the
  provider's *submission id* after it is accepted.
- **Dial**: one ringing of the phone inside a submission; several where the provider redials by itself (`interval`).
- **Callback**: one HTTP request from the provider, kept as it came in the **inbox**, whatever it says.
- **Event**: one dated fact about a call, with its source (who says so) and its type.
- **Timeline**: the events of a call in order, and the status that follows from them.
- **Rule**: when a failed call is tried again, and when it is given up. None unless the user asks for one.
- **Policy**: when dialling is allowed at all: hours and days in the callee's zone, quiet dates, a cap per number.
- **Subscriber**, **Delivery**: a URL of the user's that wants to know, and one signed notification to it.

A call is *settled* when no submission is open and no further attempt is due. *Unknown is not failed*: `unconfirmed`
(it may be ringing) and `unknown` (nobody could tell us) are never dialled again by themselves.

The tree
--------

Imports point downwards only (`tests/test_layers.py` keeps that true)::

    cli/          the command line, one module per noun          ┐
    worker.py     runs the steps that are due                    │ the edges: they read settings.py
    web/          callbacks, API: the only place for starlette   │ and set up logs.py
    simulator/    a provider in a box, with faults to order      │
    demo/         server, worker and simulator in one process    ┘
        │
    flow/         the way of a call, one step per file: sending, receiving, joining, ...
        │
    store/        what is remembered: the only place for SQL     ┐ these two never
    providers/    the wire formats: one file per provider        ┘ import each other
        │
    domain/       what the words mean: no I/O, no clock
        │
    errors.py     everything that is raised on purpose
"""

__version__ = "0.1.0"
