"""`tracker simulate`: a provider in a box, as a process of its own."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tracker.cli import app

#: as many that two are hardly ever equal, and each can be typed
_SEEDS: Final = 10**9


def _rate(help: str) -> typer.models.OptionInfo:  # noqa: A002 -- the word of typer
    info: typer.models.OptionInfo = typer.Option(
        min=0.0, max=1.0, metavar="RATE", show_default=False, help=help
    )
    return info


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8090,
    token: Annotated[str, typer.Option(help="The access token that clients must send.")] = "simulated-token",  # noqa: S107 -- no secret
    seed: Annotated[
        int | None,
        typer.Option(
            help="Same seed, same story: outcomes, faults and ids. Without it a new one is taken and told."
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds in one real second; 60: a minute.")] = 1.0,
    generation: Annotated[str, typer.Option(help="Which answers the API gives: old or new.")] = "old",
    mix: Annotated[
        str,
        typer.Option(metavar="OUTCOME=WEIGHT,…", help="How often each outcome comes; weights of any sum."),
    ] = "answer=60,busy=15,noanswer=15,congestion=5,chanunavail=3,cancel=2",
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER=OUTCOME,…",
            help="The outcomes of one number's dials in order, the last one repeating. May be repeated.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER=FAULT,…",
            help="Faults that one number certainly has, by the names below: early,duplicate. May be repeated.",
        ),
    ] = None,
    webhook: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=URI", help="A webhook known from the start. May be repeated."),
    ] = None,
    webhook_secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]SECRET", help="Sent with callbacks as Authorization: Bearer, by all or one of them."
        ),
    ] = None,
    webhook_style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]STYLE",
            help="default, composed-json, composed-get, composed-put, composed-form or composed-multipart. "
            "One without ID also holds for webhooks registered later.",
        ),
    ] = None,
    webhook_field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=TEMPLATE",
            help="A field of composed callbacks, such as call_id={{id}}; replaces the usual ones. May be repeated.",
        ),
    ] = None,
    subscribe: Annotated[
        str | None, typer.Option(metavar="ID", help="The webhook that gets every outcome, named or not.")
    ] = None,
    mid: Annotated[
        str,
        typer.Option(help="What mid holds: campaign (an id of its own) or submission (the submission id)."),
    ] = "campaign",
    pending: Annotated[
        str,
        typer.Option(help="callstatus without a record answers: empty, not-found, queued, or mixed."),
    ] = "mixed",
    max_dials: Annotated[
        int, typer.Option(help="Dials of a call with an interval, until one is answered.")
    ] = 3,
    late_by: Annotated[
        float, typer.Option(help="How late a late callback is, in simulated seconds.")
    ] = 600.0,
    repeat_pause: Annotated[
        float,
        typer.Option(help="Simulated seconds before a callback not answered 200 or 202 is repeated (twice)."),
    ] = 60.0,
    callback_timeout: Annotated[
        float, typer.Option(help="Real seconds that a callback's receiver has to answer.")
    ] = 3.0,
    retry_after: Annotated[int, typer.Option(help="Real seconds that a 429 asks to wait.")] = 1,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Post callbacks to other machines than this one.")
    ] = False,
    duplicate: Annotated[float, _rate("Fault: the callback comes twice.")] = 0.0,
    late: Annotated[float, _rate("Fault: the callback comes late.")] = 0.0,
    out_of_order: Annotated[float, _rate("Fault: callbacks overtake one another.")] = 0.0,
    early: Annotated[float, _rate("Fault: the callback comes before the answer to send.")] = 0.0,
    never: Annotated[float, _rate("Fault: no callback comes.")] = 0.0,
    no_id: Annotated[float, _rate("Fault: a default push, without an id, whatever the webhook is.")] = 0.0,
    composed_get: Annotated[float, _rate("Fault: a composed GET, whatever the webhook is.")] = 0.0,
    composed_put: Annotated[float, _rate("Fault: a composed PUT, whatever the webhook is.")] = 0.0,
    composed_form: Annotated[float, _rate("Fault: a composed form, whatever the webhook is.")] = 0.0,
    composed_multipart: Annotated[float, _rate("Fault: a multipart form, whatever the webhook is.")] = 0.0,
    broken_json: Annotated[float, _rate("Fault: an unescaped quote in the JSON; unreadable.")] = 0.0,
    trailing_comma: Annotated[float, _rate("Fault: a comma too many in the JSON; can be mended.")] = 0.0,
    wrong_zone: Annotated[float, _rate("Fault: the callback's times are UTC, not Indian time.")] = 0.0,
    hang: Annotated[float, _rate("Fault: the answer to send never comes; the call is dialled.")] = 0.0,
    error_after_accept: Annotated[float, _rate("Fault: send is answered 500; the call is dialled.")] = 0.0,
    rate_limit: Annotated[float, _rate("Fault: send is answered 429, with or without Retry-After.")] = 0.0,
    no_balance: Annotated[float, _rate("Fault: send is refused: insufficient balance.")] = 0.0,
    json: Annotated[
        bool, typer.Option("--json", help="When listening, print one JSON line: url, control, seed.")
    ] = False,
) -> None:
    """A simulated provider: speaks the provider's HTTP, calls nobody, and misbehaves as ordered.

    Point an account's base_url at the address that it prints. Faults have a RATE from 0 to 1. What it received,
    planned and sent is shown under /simulator/requests, /simulator/calls and /simulator/idle. Ends on Ctrl-C.
    """
    from json import dumps
    from secrets import randbelow

    from tracker.simulator import option_parsing
    from tracker.simulator.option_parsing import named
    from tracker.simulator.options import SimulatorOptions, WrongOption
    from tracker.simulator.server import run
    from tracker.simulator.thundersms.vocabulary import Fault, Generation, Mid, Pending, Style

    rates = {
        Fault.duplicate: duplicate,
        Fault.late: late,
        Fault.out_of_order: out_of_order,
        Fault.early: early,
        Fault.never: never,
        Fault.no_id: no_id,
        Fault.composed_get: composed_get,
        Fault.composed_put: composed_put,
        Fault.composed_form: composed_form,
        Fault.composed_multipart: composed_multipart,
        Fault.broken_json: broken_json,
        Fault.trailing_comma: trailing_comma,
        Fault.wrong_zone: wrong_zone,
        Fault.hang: hang,
        Fault.error_after_accept: error_after_accept,
        Fault.rate_limit: rate_limit,
        Fault.no_balance: no_balance,
    }
    styles = webhook_style or []
    if seed is None:  # no provider gives an id twice, and so neither do two runs of this one
        seed = randbelow(_SEEDS)
    try:
        general = [
            named("--webhook-style", lambda: option_parsing.member(Style, style))  # noqa: B023 -- called at once
            for style in styles
            if "=" not in style
        ]
        options = SimulatorOptions(
            host=host,
            port=port,
            token=token,
            seed=seed,
            generation=named("--generation", lambda: option_parsing.member(Generation, generation)),
            speed=speed,
            mix=named("--mix", lambda: option_parsing.mix(mix)),
            outcomes=named("--outcome", lambda: option_parsing.outcomes(outcome or [])),
            faults={name: rate for name, rate in rates.items() if rate},
            scripted_faults=named("--fault", lambda: option_parsing.scripted_faults(fault or [])),
            webhooks=option_parsing.webhooks(
                webhook or [], secrets=webhook_secret or [], styles=styles, fields=webhook_field or []
            ),
            webhook_style=general[-1] if general else Style.default,
            subscribe=subscribe,
            late_by_s=late_by,
            max_dials=max_dials,
            repeat_pause_s=repeat_pause,
            callback_timeout_s=callback_timeout,
            retry_after_s=retry_after,
            mid=named("--mid", lambda: option_parsing.member(Mid, mid)),
            pending=named("--pending", lambda: option_parsing.member(Pending, pending)),
            allow_remote=allow_remote,
        )
    except WrongOption as wrong:
        typer.echo(_as_option(str(wrong)), err=True)
        raise typer.Exit(2) from wrong

    def ready(url: str, control: str) -> None:
        if json:
            typer.echo(dumps({"url": url, "control": control, "seed": seed}))
            return
        typer.echo(f"A simulated provider (no phone rings) listens at {url}")
        typer.echo(f'In an account: base_url = "{url}" and access_token = "{token}". Ctrl-C ends it.')
        typer.echo(f"What it received, planned and sent: {control}requests, {control}calls, {control}idle")
        typer.echo(f"--seed {seed} tells the same story again, with the same ids: for a new database.")

    try:
        run(options, ready=ready)
    except WrongOption as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(1) from wrong


def _as_option(message: str) -> str:
    """A sentence that begins with the name of a field of `SimulatorOptions`, with the option's in its place."""
    from tracker.simulator.options import SimulatorOptions

    field, colon, rest = message.partition(": ")
    if field not in SimulatorOptions.__dataclass_fields__:
        return message
    several = {"outcomes": "outcome", "scripted_faults": "fault", "webhooks": "webhook"}
    option = several.get(field, field.removesuffix("_s").replace("_", "-"))
    return f"--{option}{colon}{rest}"
