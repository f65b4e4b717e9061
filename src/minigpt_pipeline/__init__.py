"""Kedro pipelines that train, check, sample, compare, retrain and serve a miniature GPT."""

__version__ = "0.7.0"
