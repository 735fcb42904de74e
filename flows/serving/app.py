"""The application of `sift serve`: rows in, answers out, whatever version is served at the moment.

    POST /invocations   what MLflow's scoring server takes and gives: JSON or Parquet
    GET  /health        says that it is up
    GET  /metrics       OpenMetrics

Contributors are named in the body of a request alone: no address, log or metric has one.
"""

import time

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from flows.errors import FlowError, UsageError
from flows.integrations.servers.guard import HEALTH
from flows.serving.answering import answer
from flows.serving.champion import Champion
from flows.serving.served_metrics import ServedMetrics
from lineage import LineageError
from sift_core import SiftCoreError
from sift_core.errors import DataError

VERSION_HEADER = "sift-version"
"""Of an answer: the number of the model version that gave it."""


def application(champion: Champion) -> FastAPI:
    """What a server runs, behind a `Guard`."""
    app = FastAPI(title="sift serve", docs_url=None, redoc_url=None, openapi_url=None)
    metrics = ServedMetrics(champion)

    @app.get(HEALTH)
    def health() -> Response:
        return Response("\n", media_type="application/json")

    @app.get("/metrics")
    def numbers() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/invocations")
    async def answers(request: Request) -> Response:
        body, content_type = await request.body(), request.headers.get("content-type", "")
        return await run_sync(_answer, champion, metrics, body, content_type)

    return app


def _answer(champion: Champion, metrics: ServedMetrics, body: bytes, content_type: str) -> Response:
    started, rows = time.perf_counter(), 0
    try:
        found, serving = answer(champion, body, content_type)
    except (FlowError, SiftCoreError, LineageError) as error:
        response = _refusal(error)
    else:
        rows, headers = found.rows, {VERSION_HEADER: str(serving.number)}
        response = Response(found.content, found.status, headers, found.media_type)
    metrics.note(response.status_code, rows, time.perf_counter() - started)
    return response


def _refusal(error: FlowError | SiftCoreError | LineageError) -> Response:
    """An error in the form of MLflow's: 400 where another request would do, else 500."""
    wrong = isinstance(error, UsageError | DataError)
    content = {
        "error_code": "BAD_REQUEST" if wrong else "INTERNAL_ERROR",
        "message": f"{error.facts} Remedy: {error.remedy}",
    }
    return JSONResponse(content, 400 if wrong else 500)
