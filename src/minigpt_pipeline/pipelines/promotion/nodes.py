"""Whether a trained model is the one in use from now on."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from minigpt_pipeline.model.held_out_reviews import HeldOutReviews
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.model_versions import CHAMPION, ModelVersion, ModelVersions, VersionError
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    PromotionParameters,
    VectorizationParameters,
)
from minigpt_pipeline.promotion_policy import Difference, Incumbent, Measured, decide
from minigpt_pipeline.text.token_tables import check_tokens, digest_tokens
from minigpt_pipeline.text.word_losses import WordLosses

logger = logging.getLogger(__name__)


def decide_promotion(  # noqa: PLR0913, PLR0917 -- what the catalog gives it
    trained_model: TrainedModel,
    train_token_ids: pa.Table,
    validation_token_ids: pa.Table,
    reviews: Iterable[pa.RecordBatch],
    model_versions: ModelVersions,
    promotion: PromotionParameters,
    generation: GenerationParameters,
    vectorization: VectorizationParameters,
    compute: ComputeSettings,
) -> dict[str, Any]:
    """Measure a model and those that were in use before it, all of them now and on the same reviews, and decide.

    Args:
        trained_model: The candidate.
        train_token_ids: Columns `token_ids` and `unknown_words`, of the training films.
        validation_token_ids: The same of the validation films: the reviews that decide.
        reviews: All reviews, for models with other tokens.
        model_versions: The registered model.
        promotion: What a candidate must keep.
        generation: Supplies prompts, and how words are chosen.
        vectorization: Supplies the shares of the films.
        compute: Where the models compute.

    Returns:
        The record: `outcome`, `champion` (the version in use from now on; null where there is none), `reasons`;
        `candidate` and `incumbents` with their figures; `thresholds`; `data` (number and digest of the validation
        reviews); and what `ModelVersions.describe_run` says. A figure that is no number is null.

    Raises:
        ValueError: If the token ids are not the candidate's.
    """
    from minigpt_pipeline.model.compute import configure_compute

    check_tokens(validation_token_ids, trained_model.tokenizer)
    configure_compute(compute)
    held_out = HeldOutReviews(
        trained_model,
        train_token_ids,
        validation_token_ids,
        reviews,
        vectorization.split,
        promotion.batch_size,
    )
    version, incumbents = model_versions.candidate(), model_versions.incumbents()
    candidate = measure_candidate(version, incumbents, held_out, promotion, generation)
    compared = None if candidate.settled or candidate.problem else held_out
    measured: list[Incumbent] = []
    for alias, one in incumbents:
        measured.append(measure_incumbent(one, alias, version, compared, promotion, generation.prompts))
        if not measured[-1].model.problem:
            break  # the one before it counts only where it can't be used itself
    decision = decide(candidate, measured, promotion)
    for reason in decision.reasons:
        logger.info("%s", reason)
    return {
        "outcome": str(decision.outcome),
        "champion": decision.champion,
        "reasons": list(decision.reasons),
        "candidate": _describe(candidate),
        "incumbents": [_describe_incumbent(one) for one in measured],
        "thresholds": promotion.model_dump(),
        "data": {"reviews": len(validation_token_ids), "digest": digest_tokens(validation_token_ids)},
        **model_versions.describe_run(),
    }


def settle_promotion(promotion_decision: dict[str, Any]) -> dict[str, Any]:
    """Hand a decision to the registry, which moves the aliases.

    It is a step of its own, so that the record is saved before.

    Args:
        promotion_decision: What `decide_promotion` returns.
    """
    return promotion_decision


def measure_candidate(
    version: ModelVersion,
    incumbents: Sequence[tuple[str, ModelVersion]],
    held_out: HeldOutReviews,
    promotion: PromotionParameters,
    generation: GenerationParameters,
) -> Measured:
    """Measure a candidate, unless it was decided on before, or can't be used anyway.

    Args:
        version: Of the registered model.
        incumbents: The champion and the previous champion, with their aliases.
        held_out: The reviews, and the candidate itself.
        promotion: Supplies how many texts are written.
        generation: Supplies prompts, and how words are chosen.
    """
    from minigpt_pipeline.model.generation import Writer
    from minigpt_pipeline.model.quality import measure_repetition

    held = next((alias for alias, one in incumbents if one.number == version.number), None)
    if settled := version.settled or (held and f"it is the {held} already"):
        return Measured(version.number, settled=settled)
    trial = version.try_out(generation.prompts)
    if trial.problem:
        return Measured(version.number, trial.problem)
    figures = _summarize(held_out.losses)
    if problem := _find_problem(figures):
        return Measured(version.number, problem, figures=figures)
    trained_model = held_out.candidate
    writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)
    seq_rep_4 = measure_repetition(
        writer,
        trained_model.tokenizer,
        held_out.validation_token_ids,
        generation.sampling,
        promotion.num_texts,
    )
    figures |= {
        "seq_rep_4": seq_rep_4,
        "megabytes": trial.megabytes,
        "seconds_per_text": trial.seconds_per_text,
    }
    return Measured(version.number, figures=figures)


def measure_incumbent(
    version: ModelVersion,
    alias: str,
    candidate: ModelVersion,
    held_out: HeldOutReviews | None,
    promotion: PromotionParameters,
    prompts: Sequence[str],
) -> Incumbent:
    """Measure a model that was in use, on the reviews that the candidate was measured on.

    Args:
        version: Which.
        alias: That it has.
        candidate: What it is compared with.
        held_out: The reviews; null where it is only asked whether the model can be used.
        promotion: Supplies the seed of the interval.
        prompts: For which it must write a text, where this process can't read it.
    """
    in_use = alias == CHAMPION
    try:
        trained_model = version.load()
    except VersionError as error:
        # Another version of the project may have written it: it can still be served, with its own code.
        problem = version.try_out(prompts).problem
        unreadable = f"this version of the project can't read it ({error})"
        return Incumbent(Measured(version.number, problem and str(error)), in_use, incomparable=unreadable)
    if held_out is None:
        return Incumbent(Measured(version.number), in_use, incomparable="the candidate was not measured")
    if version.data and candidate.data and version.data != candidate.data:
        elsewhere = (
            f"it was trained on the data in {version.data}, and version {candidate.number} on that in "
            f"{candidate.data}; `make rollback VERSION={candidate.number}` puts it in use all the same"
        )
        return Incumbent(Measured(version.number), in_use, incomparable=elsewhere)
    losses = held_out.score(trained_model)
    figures = _summarize(losses)
    if problem := _find_problem(figures):
        return Incumbent(Measured(version.number, problem, figures=figures), in_use)
    model = Measured(version.number, figures=figures)
    try:
        difference = _find_difference(*held_out.compare(trained_model, losses), promotion.seed)
    except ValueError as error:
        return Incumbent(model, in_use, incomparable=str(error))
    return Incumbent(model, in_use, difference)


def _summarize(losses: WordLosses) -> dict[str, float]:
    return {"perplexity": losses.perplexity(), "unk_rate": losses.unknown_rate()}


def _find_problem(figures: Mapping[str, float]) -> str:
    if math.isfinite(figures["perplexity"]):
        return ""
    return f"its perplexity on the validation reviews is no number ({figures['perplexity']:g})"


def _find_difference(difference: WordLosses, has_same_tokens: bool, seed: int) -> Difference:
    if has_same_tokens:
        return Difference(difference.mean(), *difference.interval(seed))
    low, high = difference.bits_per_character_interval(seed)
    return Difference(difference.bits_per_character(), low, high, "bits per character")


def _describe(model: Measured) -> dict[str, Any]:
    figures = {name: value if math.isfinite(value) else None for name, value in model.figures.items()}
    return {
        "version": model.version,
        "problem": model.problem,
        "settled": model.settled,
        "figures": figures,
    }


def _describe_incumbent(one: Incumbent) -> dict[str, Any]:
    found = one.difference
    difference = found and {
        "mean": found.mean if math.isfinite(found.mean) else None,
        "low": found.low if math.isfinite(found.low) else None,
        "high": found.high if math.isfinite(found.high) else None,
        "unit": found.unit,
    }
    return {
        **_describe(one.model),
        "in_use": one.in_use,
        "difference": difference,
        "incomparable": one.incomparable,
    }
