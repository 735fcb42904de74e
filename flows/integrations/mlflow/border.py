"""The border to MLflow: whatever comes out of it is in our own words, and it keeps quiet."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from flows.integrations.mlflow.relocation import ModelStoreError


@contextlib.contextmanager
def in_our_words(what: str, remedy: str) -> Iterator[None]:
    """Raise ModelStoreError for whatever MLflow or its database says; keep its notes quiet."""
    with _quiet():
        try:
            yield
        except (MlflowException, sqlite3.Error, SQLAlchemyError) as error:
            raise ModelStoreError(
                f"MLflow could not {what}: {str(error).strip().splitlines()[0][:300]}",
                remedy=remedy,
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's progress notes off the terminal meanwhile; warnings still show."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
