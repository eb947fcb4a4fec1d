"""`tracker simulate`: a simulated provider, as a process of its own."""

from __future__ import annotations

from typing import Annotated, Final

import typer

#: so many that two are hardly ever equal, yet each is easily typed
_SEEDS: Final = 10**9


def _rate(help: str) -> typer.models.OptionInfo:  # noqa: A002 -- the word of typer
    info: typer.models.OptionInfo = typer.Option(
        min=0.0, max=1.0, metavar="RATE", show_default=False, help=help
    )
    return info


def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8090,
    token: Annotated[str, typer.Option(help="The access token that clients must send.")] = "simulated-token",  # noqa: S107 -- no secret
    seed: Annotated[
        int | None,
        typer.Option(
            help="Same seed, same outcomes, faults and ids. Without it a new one is drawn and printed."
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Simulated seconds in one real second. 60: one minute a second.")
    ] = 1.0,
    generation: Annotated[
        str, typer.Option(help="The generation of the API's answers: `old` or `new`.")
    ] = "old",
    mix: Annotated[
        str,
        typer.Option(metavar="OUTCOME=WEIGHT,…", help="How often each outcome comes, as weights of any sum."),
    ] = "answer=60,busy=15,noanswer=15,congestion=5,chanunavail=3,cancel=2",
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER=OUTCOME,…",
            help="The outcomes of one number's dials in order; the last one repeats. May be repeated.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER=FAULT,…",
            help="Faults that one number certainly has, by the names below: `early,duplicate`. May be repeated.",
        ),
    ] = None,
    webhook: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=URI", help="A webhook known from the start. May be repeated."),
    ] = None,
    webhook_secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]SECRET",
            help="Sent with callbacks as `Authorization: Bearer`, to all webhooks or to one. May be repeated.",
        ),
    ] = None,
    webhook_style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]STYLE",
            help="`default`, `composed-json`, `composed-get`, `composed-put`, `composed-form` or "
            "`composed-multipart`. One without ID also holds for webhooks that are registered later.",
        ),
    ] = None,
    webhook_field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=TEMPLATE",
            help="A field of composed callbacks, such as `call_id={{id}}`. Replaces the usual ones. May be repeated.",
        ),
    ] = None,
    subscribe: Annotated[
        str | None, typer.Option(metavar="ID", help="The webhook that gets every outcome, named or not.")
    ] = None,
    mid: Annotated[
        str,
        typer.Option(
            help="The content of mid: `campaign` (an id of its own) or `submission` (the submission id)."
        ),
    ] = "campaign",
    pending: Annotated[
        str,
        typer.Option(
            help="The answer of callstatus without a record: `empty`, `not-found`, `queued` or `mixed`."
        ),
    ] = "mixed",
    max_dials: Annotated[
        int, typer.Option(help="Dials of a call with an interval, unless one is answered before.")
    ] = 3,
    late_by: Annotated[
        float, typer.Option(help="Simulated seconds by which a late callback is late.")
    ] = 600.0,
    repeat_pause: Annotated[
        float,
        typer.Option(
            help="Simulated seconds until a callback that is not answered 200 or 202 is repeated (twice)."
        ),
    ] = 60.0,
    callback_timeout: Annotated[
        float, typer.Option(help="Real seconds that the receiver of a callback has to answer.")
    ] = 3.0,
    retry_after: Annotated[int, typer.Option(help="The Retry-After of a 429, in real seconds.")] = 1,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Also post callbacks to other machines.")
    ] = False,
    duplicate: Annotated[float, _rate("Fault: the callback comes twice.")] = 0.0,
    late: Annotated[float, _rate("Fault: the callback comes long after the call.")] = 0.0,
    out_of_order: Annotated[float, _rate("Fault: callbacks overtake each other.")] = 0.0,
    early: Annotated[float, _rate("Fault: the callback comes before the answer to send.")] = 0.0,
    never: Annotated[float, _rate("Fault: no callback comes.")] = 0.0,
    no_id: Annotated[float, _rate("Fault: a default push without an id, whatever the webhook is.")] = 0.0,
    composed_get: Annotated[float, _rate("Fault: a composed GET, whatever the webhook is.")] = 0.0,
    composed_put: Annotated[float, _rate("Fault: a composed PUT, whatever the webhook is.")] = 0.0,
    composed_form: Annotated[float, _rate("Fault: a composed form, whatever the webhook is.")] = 0.0,
    composed_multipart: Annotated[float, _rate("Fault: a multipart form, whatever the webhook is.")] = 0.0,
    broken_json: Annotated[
        float, _rate("Fault: an unescaped quote in the JSON, which makes it unreadable.")
    ] = 0.0,
    trailing_comma: Annotated[
        float, _rate("Fault: a comma too many in the JSON, which can be mended.")
    ] = 0.0,
    wrong_zone: Annotated[float, _rate("Fault: the callback's times are UTC, not Indian time.")] = 0.0,
    hang: Annotated[float, _rate("Fault: the answer to send never comes, but the call is dialled.")] = 0.0,
    error_after_accept: Annotated[
        float, _rate("Fault: send is answered 500, but the call is dialled.")
    ] = 0.0,
    rate_limit: Annotated[float, _rate("Fault: send is answered 429, with or without Retry-After.")] = 0.0,
    no_balance: Annotated[float, _rate("Fault: send is refused because of insufficient balance.")] = 0.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line when it listens: url, control, seed.")
    ] = False,
) -> None:
    """Run a simulated provider that misbehaves as ordered.

    It speaks the provider's HTTP and calls no phone. Point an account's base_url at the address that it prints. Faults
    have a RATE from 0 to 1. The requests, plans and callbacks are shown under /simulator/requests, /simulator/calls and
    /simulator/idle. Ends on Ctrl-C.
    """
    from json import dumps
    from secrets import randbelow

    from tracker.simulator import option_parsing
    from tracker.simulator.options import InvalidOption, SimulatorOptions
    from tracker.simulator.server import run
    from tracker.simulator.thundersms.vocabulary import (
        CallbackStyle,
        Fault,
        Generation,
        MidContent,
        PendingAnswer,
    )

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
    if seed is None:  # no provider assigns an id twice, so two runs of this one must not either
        seed = randbelow(_SEEDS)
    try:
        general = [
            option_parsing.parse_choice("--webhook-style", CallbackStyle, style)
            for style in styles
            if "=" not in style
        ]
        options = SimulatorOptions(
            host=host,
            port=port,
            token=token,
            seed=seed,
            generation=option_parsing.parse_choice("--generation", Generation, generation),
            speed=speed,
            mix=option_parsing.parse_mix(mix),
            outcomes=option_parsing.parse_outcomes(outcome or []),
            faults={name: rate for name, rate in rates.items() if rate},
            scripted_faults=option_parsing.parse_scripted_faults(fault or []),
            webhooks=option_parsing.parse_webhooks(
                webhook or [], secrets=webhook_secret or [], styles=styles, fields=webhook_field or []
            ),
            webhook_style=general[-1] if general else CallbackStyle.default,
            subscribe=subscribe,
            late_by_s=late_by,
            max_dials=max_dials,
            repeat_pause_s=repeat_pause,
            callback_timeout_s=callback_timeout,
            retry_after_s=retry_after,
            mid=option_parsing.parse_choice("--mid", MidContent, mid),
            pending=option_parsing.parse_choice("--pending", PendingAnswer, pending),
            allow_remote=allow_remote,
        )
    except InvalidOption as error:
        typer.echo(_name_option(str(error)), err=True)
        raise typer.Exit(2) from error

    def print_address(url: str, control: str) -> None:
        if json:
            typer.echo(dumps({"url": url, "control": control, "seed": seed}))
            return
        typer.echo(f"A simulated provider (no phone rings) listens at {url}")
        typer.echo(f'In an account: base_url = "{url}" and access_token = "{token}". Ctrl-C ends it.')
        typer.echo(f"Requests, plans and callbacks: {control}requests, {control}calls, {control}idle")
        typer.echo(f"`--seed {seed}` repeats all of it, ids included. Use it only with a new database.")

    try:
        run(options, on_ready=print_address)
    except InvalidOption as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _name_option(message: str) -> str:
    """Return the message with `--option` in place of the field of `SimulatorOptions` that it begins with."""
    from tracker.simulator.options import SimulatorOptions

    field, colon, problem = message.partition(": ")
    if field not in SimulatorOptions.__dataclass_fields__:
        return message
    irregular = {"outcomes": "outcome", "scripted_faults": "fault", "webhooks": "webhook"}
    option = irregular.get(field, field.removesuffix("_s").replace("_", "-"))
    return f"--{option}{colon}{problem}"
