"""Kedro datasets of our own: every file is written beside its place and renamed, and carries a format version.

The datasets of `kedro-datasets` do neither; see docs/adr/0003.
"""

from minigpt_pipeline.datasets.arrow_table_dataset import ArrowTableDataset
from minigpt_pipeline.datasets.checkpoints_dataset import CheckpointsDataset
from minigpt_pipeline.datasets.compute_dataset import ComputeDataset
from minigpt_pipeline.datasets.documents_dataset import DocumentsDataset
from minigpt_pipeline.datasets.figure_dataset import FigureDataset
from minigpt_pipeline.datasets.former_dataset import FormerDataset
from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
from minigpt_pipeline.datasets.json_dataset import JsonDataset
from minigpt_pipeline.datasets.new_reviews_dataset import NewReviewsDataset
from minigpt_pipeline.datasets.ngram_model_dataset import NgramModelDataset
from minigpt_pipeline.datasets.page_dataset import PageDataset
from minigpt_pipeline.datasets.pages_dataset import PagesDataset
from minigpt_pipeline.datasets.reviews_archive_dataset import ReviewsArchiveDataset
from minigpt_pipeline.datasets.served_texts_dataset import ServedTextsDataset
from minigpt_pipeline.datasets.study_dataset import StudyDataset
from minigpt_pipeline.datasets.table_dataset import TableDataset
from minigpt_pipeline.datasets.text_file_dataset import TextFileDataset
from minigpt_pipeline.datasets.text_table_dataset import TextPiecesDataset, TextTableDataset
from minigpt_pipeline.datasets.tokenizer_dataset import TokenizerDataset
from minigpt_pipeline.datasets.trained_model_dataset import TrainedModelDataset

__all__ = [
    "ArrowTableDataset",
    "CheckpointsDataset",
    "ComputeDataset",
    "DocumentsDataset",
    "FigureDataset",
    "FormerDataset",
    "IncomingBatchesDataset",
    "JsonDataset",
    "NewReviewsDataset",
    "NgramModelDataset",
    "PageDataset",
    "PagesDataset",
    "ReviewsArchiveDataset",
    "ServedTextsDataset",
    "StudyDataset",
    "TableDataset",
    "TextFileDataset",
    "TextPiecesDataset",
    "TextTableDataset",
    "TokenizerDataset",
    "TrainedModelDataset",
]
