"""What Coatcheck's `POST /api/data` is measured against: the same call as one writes it with FastAPI and SQLAlchemy.

    export PEER_DATABASE_URL=postgresql+asyncpg://…
    python app.py                                                          makes the table
    uvicorn app:app --workers 2 --loop uvloop --http httptools

One INSERT and one commit a request, the same columns and indexes, the same check of a line. It is meant to be quick: SQLAlchemy's
core rather than its ORM, no model for the answer, a pool that is never waited for to connect.
"""

import asyncio
import ipaddress
import json
import os
import re
import uuid
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, SmallInteger, Table, Text, Uuid
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import create_async_engine

DATABASE_URL = os.environ["PEER_DATABASE_URL"]
LINE = re.compile(
    r"([0-9A-Fa-f:.]{2,45}) ([A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}) "
    r"([^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]{1,8192}) ([1-5][0-9]{2})"
)

metadata = MetaData()
records = Table(
    "records",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("ip", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("status_code", SmallInteger, nullable=False),
    Index("records_created", "created", "seq"),
)

if DATABASE_URL.startswith("sqlite"):
    # One writes at a time whatever one does: with more connections they would wait for each other in SQLite, which is slower.
    engine = create_async_engine(DATABASE_URL, pool_size=1, max_overflow=0)

    @event.listens_for(engine.sync_engine, "connect")
    def keep_what_is_committed(connection, _):
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

else:
    engine = create_async_engine(DATABASE_URL, pool_size=20, max_overflow=0)


app = FastAPI(openapi_url=None)


@app.post("/api/data")
async def add(request: Request) -> Response:
    line = parsed(await request.body())
    if line is None:
        return answer(418, {"code": "invalid-log"})
    row = {"id": uuid.uuid4(), "created": datetime.now(UTC), **line}
    async with engine.begin() as connection:
        await connection.execute(insert(records).values(row))
    return answer(201, {"id": str(row["id"]), "created": row["created"].isoformat(), "log": line})


def parsed(body):
    """The parts of a line, or None."""
    try:
        match = LINE.fullmatch(json.loads(body)["log"])
        ipaddress.ip_address(match[1])
    except (ValueError, TypeError, KeyError):
        return None
    return {"ip": match[1], "method": match[2], "uri": match[3], "status_code": int(match[4])}


def answer(status, value):
    return Response(json.dumps(value), status, media_type="application/json")


@app.get("/healthz")
async def healthz() -> Response:
    return answer(200, {})


async def make_table():
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(make_table())
