"""A page that needs no other file."""

from minigpt_pipeline.datasets.text_file_dataset import TextFileDataset


class PageDataset(TextFileDataset):
    """The text of one HTML page."""
