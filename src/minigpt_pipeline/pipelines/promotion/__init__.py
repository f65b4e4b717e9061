"""The `promotion` pipeline."""

from minigpt_pipeline.pipelines.promotion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
