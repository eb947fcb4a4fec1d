"""tracker: one trustworthy answer for every outbound voice call.

A provider accepts a call and reports its outcome to a webhook some time later. tracker places the call, receives the
callbacks, joins the two, and tells what happened, when, and how it knows.

Glossary
--------

- **Account**: one set of credentials at one provider, named in the configuration. Its name is the path of its
  callback URL.
- **Call**: the wish to reach one number with one message. It lives until it is settled, however many attempts that
  takes.
- **Submission**: one attempt, that is one request to the provider for one number. It has our id before it is sent, and
  the provider's *submission id* after it is accepted.
- **Dial**: one ringing of the phone inside a submission. There are several if the provider redials by itself
  (`interval`).
- **Callback**: one HTTP request from the provider, stored as it came in the **inbox**.
- **Poll**: one question to the provider about a submission.
- **Report**: what one callback, or one row of a poll's answer, tells about a call record.
- **Record**: the provider's own record of one dial. Several reports can be of the same record.
- **Join**: the verdict that a callback belongs to a submission.
- **Event**: one dated fact about a call, with its source and its type.
- **Timeline**: the events of a call in order, and the status that follows from them.
- **Operator**: a person who decides about a call or a callback.

A call is *settled* when no submission is open and no further attempt is due. *Unknown is not failed*: a submission that
is `unconfirmed` (the phone may ring) or `unknown` (its outcome cannot be found out) is never dialled again
automatically.

The tree
--------

Imports point downwards only. `tests/test_layers.py` checks that::

    cli/            the command line: commands/, input/ (options),          ┐
                    output/ (text and JSON)                                 │
    demo/           `tracker demo`: the whole system in one process         │
    worker.py       runs the work that is due                               │ the edges: they read the
    web/            the HTTP server: http/ the protocol, callbacks/ for     │ settings and configure
                    the provider, api/ for the user                         │ the logs
    simulator/      a simulated provider that can misbehave                 ┘
        │
    settings/       the configuration: its fields, its loader, its reference
        │
    lifecycle/      the use cases, one folder per stage: placing, sending, receiving, joining, polling,
                    timeline (writes events), operations (operators' decisions), maintenance
        │
    store/          everything that is stored, the only place with SQL: schema, engine (connections),
                    calls, inbox, queue (due work), policy (pauses), read (lists), maintenance
    providers/      the wire formats, the only place that knows a provider
        │           (store/ and providers/ never import each other)
        │
    logs/           the configuration of the log, and the masking of secrets
        │
    domain/         the meaning, without I/O and without a clock:
                    wish/ (the fields of a call), dial_gate (may it be dialled?),
                    call_reports → matching/ → event_derivation → events → timeline/
        │
    clock.py        the clock that is passed in
    runtime.py      the tuning of the Python interpreter
    errors.py       every error that is raised on purpose
"""

__version__ = "0.1.0"
