"""A provider in a box: speaks the provider's own HTTP, with faults to order. It never places a real call.

The simulator checks the provider adapter, so it has knowledge of its own and imports nothing else of tracker.

====================  ==============================================================================
options               SimulatorOptions: everything that can be chosen, checked once
option_parsing        parses the short texts of the command line ("answer=60,busy=15")
scenarios             pure and seeded: decides what becomes of the n-th submission to a number
state                 the memory of the provider: calls, webhooks, subscriptions
scheduler             plays the scenarios in sped-up time
callback_sender       posts callbacks, and repeats those that are not answered 200 or 202
recorder              keeps every request to the API as it came
inspection_routes     shows tests and people what happened, under /simulator/
auth                  lets requests with the access token through
app, server           composition; a process of its own
thundersms/           the dialect: routes under /api/v2/, answers, bytes of callbacks, vocabulary
====================  ==============================================================================
"""
