"""What has to be entered at the provider, so that its callbacks come in: told at the end of `tracker init`."""

from __future__ import annotations

import json
from pathlib import Path

from tracker.cli.config_file import Wanted

#: the fields of a composed webhook, under the names that need no callback_keys; which of the ids equals the
#: submission's is not documented, so all of them are asked for
COMPOSED_FIELDS = {
    "id": "{{id}}",
    "outgoing.id": "{{outgoing.id}}",
    "outgoing.parent_id": "{{outgoing.parent_id}}",
    "mid": "{{mid}}",
    "to": "{{to}}",
    "bridge": "{{bridge}}",
    "status": "{{status}}",
    "start_at": "{{start_at}}",
    "end_at": "{{end_at}}",
    "duration": "{{duration}}",
    "recording_url": "{{recording_url}}",
}


def callback_url(wanted: Wanted) -> str:
    """Where the provider is to send its callbacks."""
    return f"{wanted.public_url or 'https://YOUR-PUBLIC-ADDRESS'}/callbacks/{wanted.account}"


def steps(wanted: Wanted, config: Path, program: str) -> str:
    """The steps from a written configuration to a first call, as text; the secrets are inside the steps.

    program: what is to be typed for `tracker`, with this configuration.
    """
    webhook = json.dumps(
        {
            "name": "tracker",
            "uri": callback_url(wanted),
            "status": 1,
            "secret": wanted.webhook_secret,
            "token": wanted.webhook_token,
        }
    )
    address = wanted.base_url.rstrip("/")
    number = wanted.my_number or "+91…"
    enter_id = "" if wanted.webhook_id else f", and enter its id as webhook_id in {config}"
    bridge = "" if wanted.bridge else " --bridge YOUR-BRIDGE-NUMBER"
    ringing = "only your own phone can ring"
    if wanted.my_number is None:
        ringing = f"no phone can ring before your number is entered in {config} as allow_to"
    return f"""\
A first call needs no webhook, and {ringing}:
    {program} call {number} --flow FLOW-ID{bridge} --wait

For callbacks to come in:
 1. Start `{program} serve`, reachable from outside under your public address.
 2. At the provider, make a webhook{enter_id}:
        URL               {callback_url(wanted)}
        Secret            {wanted.webhook_secret}
        Validation token  {wanted.webhook_token}
    The provider verifies the address at once, so the server has to run; start it again with the webhook_id.
    Instead of the panel, its API (with your token as ACCESS_TOKEN; `data.id` of the answer is the webhook_id):
        curl -X POST {address}/developer/webhooks \\
             -H "Authorization: Bearer $ACCESS_TOKEN" -H "Content-Type: application/json" \\
             -d '{webhook}'
 3. The provider's usual callback does not name the call, and is joined by number and time. To be sure,
    compose the webhook in the panel: method POST, header Content-Type: application/json, and this body:
        {json.dumps(COMPOSED_FIELDS)}
 4. See that all is well: {program} doctor
"""
