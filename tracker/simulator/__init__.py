"""A provider in a box: speaks the provider's own HTTP, with faults to order. It never places a real call.

It is independent knowledge of the provider: nothing here imports the adapter that it is there to test.

====================  ==============================================================================
words                 the provider's words, the styles of its callbacks, the faults that can be ordered
options               SimulatorOptions: everything that can be chosen, checked once
orders                the short texts of the command line ("answer=60,busy=15") become values
stories               pure and seeded: what becomes of the n-th submission to a number
world                 what the provider remembers: calls, webhooks, subscriptions
templates, letters    a dial that ended becomes the bytes of a callback
answers               the bodies of the API's answers, in both generations
stage                 plays the stories in sped-up time
postman               delivers callbacks, and repeats what was not answered 200 or 202
sending, developer    the provider's routes, under /api/v2/
control, recorder     for tests and the demo, under /simulator/
app, server           composition; a process of its own
====================  ==============================================================================
"""
