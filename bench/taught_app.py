"""(b) and (d): the receiver of `bench.taught` behind FastAPI. BENCH_DATABASE says where it stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlmodel import Session

from bench.taught import CallbackIn, engine_of, take

engine = engine_of(os.environ["BENCH_DATABASE"])
expected = f"Bearer {os.environ['BENCH_SECRET']}"
app = FastAPI()


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


async def get_body(request: Request) -> bytes:
    body: bytes = await request.body()
    return body


SessionDep = Annotated[Session, Depends(get_session)]
BodyDep = Annotated[bytes, Depends(get_body)]


def receive(callback: CallbackIn, session: SessionDep, body: BodyDep, request: Request) -> dict[str, bool]:
    if request.headers.get("authorization") != expected:
        raise HTTPException(401)
    headers = b"".join(b"%b: %b\r\n" % pair for pair in request.headers.raw if pair[0] != b"authorization")
    take(session, callback, headers, body)
    return {"ok": True}


# as a call, for where FastAPI is not installed a decorator would be of no known type
app.post("/callbacks/thundersms")(receive)
