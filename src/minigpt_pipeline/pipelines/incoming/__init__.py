"""The `incoming` pipeline."""

from minigpt_pipeline.pipelines.incoming.pipeline import create_pipeline

__all__ = ["create_pipeline"]
