"""Kedro pipelines that train, check, sample, compare and retrain a miniature GPT."""

__version__ = "0.5.0"
