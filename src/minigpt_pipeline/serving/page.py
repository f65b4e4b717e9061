"""The page at `/`."""

from fastapi import FastAPI


def add_page(app: FastAPI) -> None:
    """Let an application serve the page."""
