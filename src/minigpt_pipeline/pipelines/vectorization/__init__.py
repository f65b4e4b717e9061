"""The `vectorization` pipeline."""

from minigpt_pipeline.pipelines.vectorization.pipeline import create_pipeline

__all__ = ["create_pipeline"]
