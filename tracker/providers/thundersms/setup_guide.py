"""Writes the steps from a fresh configuration to a first call and to callbacks, with the secrets inside the steps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: The fields of a composed webhook, under names that need no callback_keys. Which of the ids equals the submission's is
#: not documented, so the webhook sends all of them.
COMPOSED_FIELDS: Final = {
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


@dataclass(frozen=True, kw_only=True)
class WebhookSetup:
    """Everything that the guide fills in; None is not known yet."""

    config_file: Path
    base_url: str
    callback_url: str
    webhook_secret: str = field(repr=False)
    webhook_token: str = field(repr=False)
    webhook_id: str | None
    #: the number to call first, in E.164
    my_number: str | None
    bridge: str | None


def setup_guide(setup: WebhookSetup, program: str) -> str:
    """Return the steps as text. program: what to type for `tracker` with this configuration."""
    webhook = json.dumps(
        {
            "name": "tracker",
            "uri": setup.callback_url,
            "status": 1,
            "secret": setup.webhook_secret,
            "token": setup.webhook_token,
        }
    )
    api = setup.base_url.rstrip("/")
    number = setup.my_number or "+91…"
    enter_id = "" if setup.webhook_id else f", and enter its id as webhook_id in {setup.config_file}"
    bridge = "" if setup.bridge else " --bridge YOUR-BRIDGE-NUMBER"
    ringing = "only your own phone can ring"
    if setup.my_number is None:
        ringing = f"no phone can ring before you enter your number in {setup.config_file} as allow_to"
    return f"""\
A first call needs no webhook, and {ringing}:
    {program} call {number} --flow FLOW-ID{bridge} --wait

For callbacks to come in:
 1. Start `{program} serve`, reachable from outside under your public address.
 2. At the provider, make a webhook{enter_id}:
        URL               {setup.callback_url}
        Secret            {setup.webhook_secret}
        Validation token  {setup.webhook_token}
    The provider verifies the address at once, so the server has to run. Start it again with the webhook_id.
    Or use the provider's API, with your token as ACCESS_TOKEN; `data.id` of the answer is the webhook_id:
        curl -X POST {api}/developer/webhooks \\
             -H "Authorization: Bearer $ACCESS_TOKEN" -H "Content-Type: application/json" \\
             -d '{webhook}'
 3. The provider's default callback does not name the call, and is joined by number and time. To be sure,
    compose the webhook in the panel: method POST, header Content-Type: application/json, and this body:
        {json.dumps(COMPOSED_FIELDS)}
 4. Check everything: {program} doctor
"""
