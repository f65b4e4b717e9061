"""The `monitoring` pipeline."""

from minigpt_pipeline.pipelines.monitoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
