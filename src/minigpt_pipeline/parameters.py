"""One frozen, validated model for each `params:` entry of `conf/*/parameters_*.yml`.

Kedro builds and checks every model before the first node runs, so that a wrong value, also one from
`kedro run --params model.num_heads=3`, ends the run in a second and with the rule that it breaks.
"""

import math
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A part of a whole, from 0 to 1."""


LIMITS_OF_TRIALS = ("training.seed", "training.epochs", "training.max_steps", "training.max_minutes")
"""What a sweep can't vary: its trials would not be given the same."""


class Parameters(BaseModel):
    """What all parameter models have in common: they are frozen and refuse unknown names.

    Only what is off has a default, namely off; every value lies in `conf/`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DocumentsParameters(Parameters):
    """How texts of one's own lie in their files."""

    text_column: str
    """Of tables: the column with the texts."""
    film_column: str | None = None
    """Of tables: the column with what must be in one part of the split, such as an author; null means that each text is
    alone."""
    one_document: Literal["file", "block"] | None = None
    """Of text files: a whole file, or a block between blank lines; null means a block where there is one file alone."""
    max_megabytes: Annotated[float, Field(gt=0.0)] | None = None
    """Of a parquet file, unpacked; null means any. Other files are as large as they lie there."""
    max_documents: Annotated[int, Field(ge=1)] | None = None
    """Of tables and blocks, all files together; null means any."""


class IngestionParameters(Parameters):
    """What is read from the archive of reviews, or from files of one's own."""

    include_unlabelled: bool
    """Also read `train/unsup`, reviews with neither label nor rating."""
    documents: DocumentsParameters | None = None
    """Texts of one's own; null means the archive of the Large Movie Review Dataset, or one that is laid out like it."""


class ValidationParameters(Parameters):
    """Bounds of the expectations on `raw_reviews`.

    Lengths are in characters, shares are parts of the reviews of a batch, from 0 to 1.
    """

    min_reviews: Annotated[int, Field(ge=1)]
    min_text_length: Annotated[int, Field(ge=1)]
    max_text_length: Annotated[int, Field(ge=1)]
    max_rejected_share: Share
    """Critical: rows that break a rule are rejected one by one up to this share; above it the batch is refused."""
    max_duplicate_share: Share
    """Critical: later copies of a text that was seen before."""
    min_positive_share: Share
    max_positive_share: Share
    max_non_ascii_share: Share
    """Warning: reviews with at least one character outside ASCII."""
    max_markup_share: Share
    """Warning: reviews with a tag other than the line break `<br />`, which vectorization removes."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        for name in ("text_length", "positive_share"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise ValueError(
                    f"min_{name}={low} is larger than max_{name}={high}: "
                    "change one of them in conf/base/parameters_validation.yml"
                )
        return self


class DriftParameters(Parameters):
    """From where on new reviews differ so much from the training films' that a warning says so; null means never."""

    min_reviews: Annotated[int, Field(ge=1)]
    """Of a batch; the figures of fewer are chance."""
    max_words_ks_distance: Share | None
    """Kolmogorov-Smirnov, of the words of a review."""
    max_vocabulary_divergence: Share | None
    """Jensen-Shannon, in bits, beyond that of as many words drawn from the training reviews."""
    max_new_word_share: Share | None
    """Of the words, those that no training review has."""
    max_unk_rate_rise: Share | None
    """Of `[UNK]`, beyond its share of the training reviews."""
    max_positive_share_difference: Share | None
    """Of the labelled reviews, up or down."""
    max_perplexity_ratio: Annotated[float, Field(ge=1.0)] | None
    """The champion's perplexity on the batch, divided by that on its validation films."""
    perplexity_reviews: Annotated[int, Field(ge=1)]
    """Reviews of a batch, at most, that the champion reads."""


class IncomingParameters(Parameters):
    """What a batch of new reviews must keep to be taken in; lengths of texts are those of `validation`.

    Shares are parts of the reviews of a batch that are not known yet. Above one of them the whole batch is set aside;
    up to it, reviews that break a rule are left out one by one.
    """

    max_megabytes: Annotated[float, Field(gt=0.0)]
    """Of a batch, unpacked."""
    max_reviews: Annotated[int, Field(ge=1)] | None = None
    """Of a batch of tables or texts; null means any."""
    min_reviews: Annotated[int, Field(ge=1)]
    max_rejected_share: Share
    max_duplicate_share: Share
    """Later copies of a text of the same batch."""
    max_markup_share: Share | None
    """With a tag other than the line break `<br />`; null means that markup is allowed."""
    language: str | None
    """ISO 639-1 code of the only one that is allowed; null means any."""
    min_language_confidence: Share
    """Probability from which on a text is taken to be in another language."""
    max_other_language_share: Share
    drift: DriftParameters

    def bounds(self, validation: ValidationParameters) -> ValidationParameters:
        """Return the bounds of `validation` with those in their place that are a batch's own."""
        own = {
            name: getattr(self, name) for name in ("min_reviews", "max_rejected_share", "max_duplicate_share")
        }
        markup = 1.0 if self.max_markup_share is None else self.max_markup_share
        return validation.model_copy(update=own | {"max_markup_share": markup})


class ServedBounds(Parameters):
    """From where on what was served is told as a warning; null means never."""

    max_error_share: Share | None
    """Of the requests, those that the server failed: 5xx."""
    max_overloaded_share: Share | None
    """Of the requests, those that found no room: 429."""
    max_waited_p95: Annotated[float, Field(gt=0.0)] | None
    """Seconds until a text had a slot, 95th percentile."""
    max_first_token_p95: Annotated[float, Field(gt=0.0)] | None
    """Seconds from a request to the first token."""
    max_seconds_p95: Annotated[float, Field(gt=0.0)] | None
    """Seconds from a request to the end of a text."""
    max_unk_rate_rise: Share | None
    """Of `[UNK]` in prompts, beyond its share of beginnings of training reviews that are as long."""
    max_long_prompt_share: Share | None
    """Of the prompts, those longer than the model's context: only their newest tokens are read."""
    max_seq_rep_4_rise: Share | None
    """Of the 4-grams that a text repeats, beyond that of training reviews that are as long."""
    max_distinct_2_fall: Share | None
    """Of the distinct among the 2-grams of a text, below that of training reviews that are as long."""


class MonitoringParameters(Parameters):
    """What is measured of served texts."""

    window_hours: Annotated[float, Field(gt=0.0)] | None
    """Up to now; null means all that is kept."""
    min_texts: Annotated[int, Field(ge=1)]
    """The figures of fewer are chance, and left out; of fewer requests, the shares of those that failed."""
    training_reviews: Annotated[int, Field(ge=1)]
    """With which served texts are compared, evenly spread."""
    num_examples: Annotated[int, Field(ge=0)]
    """Texts on the page, the newest, if servers keep texts at all."""
    bounds: ServedBounds


class SplitParameters(Parameters):
    """Shares of the films that train, that steer training, and that are read by `evaluation` alone."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(
                f"train={self.train}, validation={self.validation} and test={self.test} sum to "
                f"{total:g}, not to 1: change them in conf/base/parameters_vectorization.yml"
            )
        return self


SMALLEST_SUBWORD_VOCABULARY = 257
"""Padding and 256 bytes."""


class VectorizationParameters(Parameters):
    """How reviews become token ids."""

    tokenizer: Literal["word", "subword"] = "word"
    """Each frequent word is a token and every other one `[UNK]`, or tokens are parts of words and spell every word."""
    vocabulary_size: Annotated[int, Field(ge=3)]
    """Tokens at most, padding and `[UNK]` among them (`max_tokens` of `TextVectorization`)."""
    min_words: Annotated[int, Field(ge=2)]
    """Words that the training films must have between them; with fewer, vectorization stops."""
    split: SplitParameters

    @model_validator(mode="after")
    def _bytes_have_room(self) -> Self:
        if self.tokenizer == "subword" and self.vocabulary_size < SMALLEST_SUBWORD_VOCABULARY:
            raise ValueError(
                f"vocabulary_size={self.vocabulary_size} has no room for padding and the 256 bytes that "
                f"tokenizer=subword begins with: expected at least {SMALLEST_SUBWORD_VOCABULARY}, "
                "see conf/base/parameters_vectorization.yml"
            )
        return self


class ModelParameters(Parameters):
    """Sizes of the miniature GPT; the vocabulary's size comes from the vocabulary."""

    sequence_length: Annotated[int, Field(ge=2)]
    """Context, in tokens."""
    embed_dim: Annotated[int, Field(ge=1)]
    num_heads: Annotated[int, Field(ge=1)]
    head_dim: Annotated[int, Field(ge=1)] | None
    """Width of one attention head; null means `embed_dim / num_heads`."""
    feed_forward_dim: Annotated[int, Field(ge=1)]
    num_blocks: Annotated[int, Field(ge=1)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    output_layer: Literal["full", "adaptive"] = "full"
    """`adaptive` spends less on rare words (Grave et al., 2017)."""
    num_frequent_words: Annotated[int, Field(ge=1)] | None = None
    """Of an adaptive output layer: words of the vocabulary that are scored at full width."""
    rare_word_dim: Annotated[int, Field(ge=1)] | None = None
    """Of an adaptive output layer: width at which the other words are scored."""
    tied_embeddings: bool = False
    """Whether a full output layer shares the vectors of the token embedding (Press and Wolf, 2017)."""
    normalization: Literal["post", "pre"] = "post"
    """Layer normalization after each sum, or before each part of a block and the output layer (Xiong et al., 2020)."""
    positions: Literal["learned", "rotary"] = "learned"
    """How a word's place is told: a learned vector for each, or queries and keys that are rotated (Su et al., 2021)."""
    activation: Literal["relu", "gelu"] = "relu"
    """Of the feed-forward networks; `gelu` is smooth at zero (Hendrycks and Gimpel, 2016)."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.head_dim is None and self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim={self.embed_dim} is not divisible by num_heads={self.num_heads}: "
                "change one of them, or set head_dim, in conf/base/parameters_training.yml"
            )
        return self

    @model_validator(mode="after")
    def _rotated_heads_have_an_even_width(self) -> Self:
        head_dim = self.head_dim or self.embed_dim // self.num_heads
        if self.positions == "rotary" and head_dim % 2:
            raise ValueError(
                f"positions=rotary rotates pairs of a head's columns, and heads of width {head_dim} don't pair: "
                "change head_dim, embed_dim or num_heads, or set positions to learned, in "
                "conf/base/parameters_training.yml"
            )
        return self

    @model_validator(mode="after")
    def _an_adaptive_output_layer_has_its_sizes(self) -> Self:
        if self.output_layer == "adaptive" and (
            self.num_frequent_words is None or self.rare_word_dim is None
        ):
            raise ValueError(
                f"output_layer=adaptive needs num_frequent_words (now {self.num_frequent_words}) and rare_word_dim "
                f"(now {self.rare_word_dim}): set them in conf/base/parameters_training.yml"
            )
        return self

    @model_validator(mode="after")
    def _only_a_full_output_layer_is_tied(self) -> Self:
        if self.tied_embeddings and self.output_layer != "full":
            raise ValueError(
                f"tied_embeddings=true needs output_layer=full, not {self.output_layer}, which has two widths: "
                "change one of them in conf/base/parameters_training.yml"
            )
        return self


class OptimizerParameters(Parameters):
    """The optimizer, and how its learning rate changes in time."""

    name: Literal["adam", "adamw", "muon", "sgd"]
    """`muon` moves the kernels of the blocks by an orthogonal matrix near their gradient (Jordan et al., 2024), as far
    as Adam would (Liu et al., 2025), and leaves the other weights to Adam."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """The highest one, reached at the end of the warm-up."""
    adam_learning_rate: Annotated[float, Field(gt=0.0)] | None = None
    """Of `muon`: the highest one of what it leaves to Adam, which is embeddings, output layer, biases and norms; null
    means `learning_rate`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises from zero."""
    decay: Literal["constant", "cosine"] = "constant"
    """After the warm-up: stay, or fall along half a cosine to zero (Loshchilov and Hutter, 2017)."""
    decay_steps: Annotated[int, Field(ge=1)] | None = None
    """Step at which a cosine reaches zero; null means the last one that `epochs` and `max_steps` allow."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Of `adamw` and `muon` (Loshchilov and Hutter, 2019): times the learning rate, the share of a kernel that a step
    takes."""
    clip_norm: Annotated[float, Field(gt=0.0)] | None = None
    """Gradients are scaled down to this norm, taken over all weights (Pascanu et al., 2013); null means never."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Steps whose gradients are averaged before the weights move."""
    average_momentum: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """The model that is measured and kept is an average of the weights over time, of which each step leaves this share
    (Polyak and Juditsky, 1992); null means the weights themselves."""

    @model_validator(mode="after")
    def _weight_decay_has_its_optimizer(self) -> Self:
        if self.weight_decay and self.name not in {"adamw", "muon"}:
            raise ValueError(
                f"weight_decay={self.weight_decay} needs name=adamw or muon, not {self.name}: "
                "change one of them in conf/base/parameters_training.yml"
            )
        return self


SHOWN_SETTINGS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
)
"""Fields of `SamplingParameters` that stand beside each text: how its words were chosen."""


class SamplingParameters(Parameters):
    """How the next word is chosen.

    The order is that of [Transformers](https://huggingface.co/docs/transformers/internal/generation_utils): first the
    penalty and the ban on repetition change logits, then come temperature, top-k, top-p and min-p, each of what the one
    before it leaves. Padding and `[UNK]` are never written.
    """

    temperature: Annotated[float, Field(ge=0.0, le=100.0)]
    """Divides the logits; 0 always takes the most probable word."""
    top_k: Annotated[int, Field(ge=1)] | None
    """Only the k most probable words can be drawn; null means all of them."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None
    """Of these only the most probable, as few as have this share of the probability; null means all of them."""
    min_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Of these only words with at least this share of the most probable word's probability (Nguyen et al., 2024); null
    means all of them."""
    repetition_penalty: Annotated[float, Field(ge=1.0, le=100.0)] | None = None
    """Logits of words that the whole text has, prompt included, are divided by it where they are positive, else
    multiplied (Keskar et al., 2019); null or 1 means that they stay. The logits of an adaptive output layer are
    logarithms of probabilities."""
    no_repeat_ngram_size: Annotated[int, Field(ge=1, le=100)] | None = None
    """No word makes so many neighbouring words stand twice in the whole text, prompt included (Paulus et al., 2017); a
    text for which this leaves no word ends. Null means that all may."""
    max_new_tokens: Annotated[int, Field(ge=1)]
    stop_token: Annotated[str, Field(min_length=1)] | None
    """A text ends early after this word; null means never."""
    stop_at_end_of_review: bool | None = False
    """Whether a text ends where the model ends it, which one trained on `packed` sequences has learnt; null means
    wherever the model has learnt it."""


class TrainingParameters(Parameters):
    """The training loop. Whichever of the limits is reached first ends it."""

    seed: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)]
    """Sequences in one optimizer step."""
    sequences: Literal["truncated", "packed"] = "truncated"
    """Train on the beginning of each review, or on all its words, cut into sequences without padding."""
    epochs: Annotated[int, Field(ge=1)]
    max_steps: Annotated[int, Field(ge=1)] | None
    max_minutes: Annotated[float, Field(gt=0.0)] | None
    patience: Annotated[int, Field(ge=1)] | None = None
    """Training ends after so many looks at the `validation` films without a lower loss; null means never."""
    optimizer: OptimizerParameters
    log_every_steps: Annotated[int, Field(ge=1)]
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None
    """Steps between two looks at the `validation` films; null means at the end of each epoch only."""
    sample_every_epochs: Annotated[int, Field(ge=1)]
    """`TextGenerator` writes at the end of every n-th epoch."""
    checkpoint_every_minutes: Annotated[float, Field(ge=0.0)] | None
    """A killed training goes on from its newest checkpoint; null means that the clock saves none."""
    checkpoint_every_steps: Annotated[int, Field(ge=1)] | None
    """The same, counted in optimizer steps; with both, whichever comes first."""


class SearchedParameter(Parameters):
    """A parameter that a sweep varies: one of `choices`, or a number from `low` to `high`."""

    name: str
    """Where it stands in `model` or `training`, such as `training.optimizer.learning_rate`."""
    choices: Annotated[list[bool | int | float | str | None], Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    """With two whole numbers all between them are whole."""
    log: bool = False
    """Whether 0.001 to 0.01 is as far as 0.01 to 0.1."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """Between two numbers that can be drawn; null means 1 for whole numbers, and any for others."""

    @field_validator("name")
    @classmethod
    def _is_a_parameter(cls, name: str) -> str:
        group, *path = name.split(".")
        model: Any = {"model": ModelParameters, "training": TrainingParameters}.get(group)
        for field in path:
            fields = getattr(model, "model_fields", {})
            model = fields[field].annotation if field in fields else None
        if not path or model is None or hasattr(model, "model_fields"):
            raise ValueError(
                f"{name!r} is no parameter of model or training: see conf/base/parameters_training.yml, "
                "and write it as in training.optimizer.learning_rate"
            )
        if name in LIMITS_OF_TRIALS:
            raise ValueError(f"{name} is a limit of every trial and can't be searched: see sweep.trial")
        return name

    @model_validator(mode="after")
    def _is_a_choice_or_a_range(self) -> Self:
        is_range = self.low is not None and self.high is not None
        if (self.choices is not None) == is_range or (self.low is None) != (self.high is None):
            raise ValueError(f"{self.name} needs either choices, or low and high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.name}: low={self.low} is larger than high={self.high}")
        if self.log and (self.step is not None or (self.low or 0) <= 0):
            raise ValueError(
                f"{self.name}: log=true needs low > 0 (now {self.low}) and no step (now {self.step})"
            )
        return self


class TrialParameters(Parameters):
    """What every trial of a sweep is given, in place of the limits of `training`."""

    max_steps: Annotated[int, Field(ge=1)] | None
    max_minutes: Annotated[float, Field(gt=0.0)] | None
    evaluate_every_steps: Annotated[int, Field(ge=1)]
    """Steps between two looks at the `validation` films; at each of them a trial may be given up."""
    timed_steps: Annotated[int, Field(ge=2)] | None
    """Steps that are timed before a trial, so that its learning rate falls to zero within `max_minutes` at the speed of
    its model; null means that it falls as `training` says, and with a cosine to the last of its epochs these may end a
    trial before `max_minutes` do."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.max_steps is None and self.max_minutes is None:
            raise ValueError(
                "A trial without max_steps and max_minutes is a whole training: "
                "set one of them in conf/base/parameters_sweep.yml"
            )
        if self.timed_steps is not None and self.max_minutes is None:
            raise ValueError(f"timed_steps={self.timed_steps} needs max_minutes: set both, or neither")
        return self


class PruningParameters(Parameters):
    """When a trial is given up: at a look at which its lowest loss is above the median of the others' then."""

    first_trials: Annotated[int, Field(ge=1)]
    """Trials that must have been trained to their end before, each with a loss at this share of it."""
    first_share: Share
    """Part of a trial before which it is never given up: what learns slowly at first may be the best at last."""


class SweepParameters(Parameters):
    """A search for better parameters; trials are compared by their loss on the `validation` films."""

    seed: Annotated[int, Field(ge=0)]
    max_minutes: Annotated[float, Field(gt=0.0)]
    """Of the whole search, interruptions left out."""
    max_trials: Annotated[int, Field(ge=1)]
    random_trials: Annotated[int, Field(ge=0)]
    """Trials that are drawn at random before the sampler learns from them."""
    trial: TrialParameters
    pruning: PruningParameters | None
    """Null means that every trial is trained to its end."""
    space: Annotated[list[SearchedParameter], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_time_for_a_trial(self) -> Self:
        # As long as the search is too long: a trial that the end of the search would cut off is not begun.
        if self.trial.max_minutes is not None and self.trial.max_minutes >= self.max_minutes:
            raise ValueError(
                f"max_minutes={self.max_minutes:g} has no room for a trial of max_minutes={self.trial.max_minutes:g}, "
                "which takes a little longer: change one of them in conf/base/parameters_sweep.yml"
            )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        counts = Counter(parameter.name for parameter in self.space)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"The space names {', '.join(twice)} twice: conf/base/parameters_sweep.yml")
        return self


class EvaluationParameters(Parameters):
    """How the held-out loss is measured."""

    seed: Annotated[int, Field(ge=0)]
    """Of the samples of reviews that intervals come from."""
    batch_size: Annotated[int, Field(ge=1)]
    """Windows that the model reads at once."""
    known_source: Literal["synthetic_reviews"] | None
    """The grammar that wrote the corpus, where there is one: its exact loss is reported beside the model's."""


class RetrainingParameters(Parameters):
    """What a retraining keeps of the champion, the model in use."""

    refresh_vocabulary: bool
    """Choose the tokens anew by the reviews there are, instead of keeping the champion's: models of one vocabulary
    compare word by word."""
    warm_start: bool
    """Start from the champion's weights, where sizes and tokens are the same, instead of from fresh ones."""


class PromotionParameters(Parameters):
    """What a model must keep to be the one in use; a limit that is null is off."""

    margin: Annotated[float, Field(ge=0.0)]
    """By more than this a candidate must be better, with 95 % confidence: of the loss in nats per word, or in bits per
    character where the vocabularies differ."""
    max_perplexity: Annotated[float, Field(gt=1.0)] | None
    """On the validation films."""
    max_unk_rate: Share | None
    """Of their words, the share that the vocabulary does not have."""
    max_seq_rep_4: Share | None
    """Of `num_texts` texts, begun like validation reviews, the share of 4-grams that stand in the same text before
    (Welleck et al., 2020)."""
    max_megabytes: Annotated[float, Field(gt=0.0)] | None
    """Of its file."""
    max_seconds_per_text: Annotated[float, Field(gt=0.0)] | None
    """That a fresh process takes for one text of a prompt, once it has written one."""
    num_texts: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    """Windows that are measured at once; it changes the speed, not the measure."""
    seed: Annotated[int, Field(ge=0)]
    """Of the samples of reviews that the intervals come from."""

    def limits(self) -> dict[str, float]:
        """Return the limits that are on, by the name of what they limit."""
        limits = self.model_dump(exclude_none=True)
        return {name.removeprefix("max_"): limit for name, limit in limits.items() if name.startswith("max_")}


class GenerationParameters(Parameters):
    """The texts that every run writes, so that runs can be compared prompt by prompt."""

    prompts: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """One text is written for each prompt and seed."""
    sampling: SamplingParameters
    quality_texts: Annotated[int, Field(ge=2)] | None = None
    """Further texts that are measured beside people's reviews, at most as many as there are reviews; null means none.
    They may repeat n-grams, whatever the sampling forbids: what is measured is the model."""
    whole_texts: Annotated[int, Field(ge=2)] | None = None
    """So many texts from the same beginnings are also written until the model ends them, where it has learnt to, for
    their lengths beside those of people's reviews; null means none."""
    max_whole_tokens: Annotated[int, Field(ge=2)] = 600
    """At which a whole text is cut, and people's review too."""
    presets: dict[str, dict[str, Any]] = {}
    """Named changes of the sampling, of which `docs/samples.md` shows texts."""

    @model_validator(mode="after")
    def _prompts_are_not_blank(self) -> Self:
        for position, prompt in enumerate(self.prompts):
            if not prompt.strip():
                raise ValueError(
                    f"prompts[{position}]={prompt!r} is blank: a text needs a word to start from; "
                    "see conf/base/parameters_generation.yml"
                )
        return self

    @model_validator(mode="after")
    def _presets_change_the_sampling(self) -> Self:
        for name in self.presets:
            try:
                self.preset(name)
            except ValidationError as error:
                raise ValueError(
                    f"presets.{name}={self.presets[name]} is no change of the sampling ({error}): "
                    "see conf/base/parameters_generation.yml"
                ) from error
        return self

    def preset(self, name: str) -> SamplingParameters:
        """Return the sampling with the changes of a preset."""
        return SamplingParameters(**self.sampling.model_dump() | self.presets[name])


class ComparisonParameters(Parameters):
    """The page that shows trained models beside each other."""

    runs: str
    """Ids of MLflow runs, beginnings of ids, or names, with spaces between them; `last` is the newest finished run of a
    model, `last-3` are the newest three. The first is what the others are measured against."""
    texts_per_prompt: Annotated[int, Field(ge=1)]
    """The other texts are on the page as well, folded away."""

    @field_validator("runs", mode="before")
    @classmethod
    def _an_id_is_not_read_as_a_number(cls, runs: Any) -> Any:
        if isinstance(runs, int | float):
            raise ValueError(  # noqa: TRY004 -- what pydantic reports
                f"runs={runs} was read as a number: put the beginning of the id in quotes of YAML, "
                "as in --params 'comparison.runs=\"12345678\"', or take `make compare RUNS=12345678`, which does so"
            )
        return runs


class ComputeSettings(Parameters):
    """Where and how precisely the model computes; the `compute` entry of the catalog."""

    device: Literal["auto", "cpu", "gpu"]
    """`auto` takes a GPU where TensorFlow sees one; `gpu` without one is an error, never a silent CPU run."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    """Of the training step; evaluation and generation always compute in float32."""
    memory_growth: bool
    """Take GPU memory as it is needed instead of all of it at the start."""
    memory_limit_mb: Annotated[int, Field(ge=1)] | None = None
    """MB of each GPU's memory that TensorFlow takes, all at the start; null means no limit."""
    visible_devices: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Numbers of the GPUs to take, in TensorFlow's order; null means all."""
    strategy: Literal["one_device", "mirrored", "multi_worker"] = "one_device"
    """`mirrored` trains on all devices, each on its part of every batch; `multi_worker` on those of all processes that
    `TF_CONFIG` names."""
    worker_start_seconds: Annotated[float, Field(gt=0)] = 300
    """In which all workers of `multi_worker` must have come up."""
    worker_lost_seconds: Annotated[float, Field(ge=2)] = 30
    """Of silence after which a worker counts as lost."""
    logical_cpus: Annotated[int, Field(ge=2)] | None = None
    """Devices that the CPU is split into where no GPU is taken, to try `mirrored` out."""
    xla: bool = False
    """Compile the whole training step with XLA, which TensorFlow does for some parts of it anyway."""
    deterministic: bool
    """Only operations that give the same bits in every run (`enable_op_determinism`)."""

    @model_validator(mode="after")
    def _settings_go_together(self) -> Self:
        where = "in conf/*/catalog_compute.yml"
        if self.memory_limit_mb is not None and self.memory_growth:
            raise ValueError(
                f"memory_limit_mb={self.memory_limit_mb} is taken at the start, and memory_growth=true as it is "
                f"needed: set memory_growth to false, or memory_limit_mb to null, {where}"
            )
        if self.visible_devices is not None and (
            self.device == "cpu" or not self.visible_devices or _has_twice(self.visible_devices)
        ):
            raise ValueError(
                f"visible_devices={list(self.visible_devices)} are numbers of GPUs, each once, for device=auto or gpu "
                f"(now {self.device}): change one of them, or set visible_devices to null, {where}"
            )
        if self.logical_cpus is not None and self.strategy == "multi_worker":
            raise ValueError(
                f"logical_cpus={self.logical_cpus} splits the CPU for strategy=mirrored, and a worker of multi_worker "
                f"takes it as a whole: set logical_cpus to null {where}"
            )
        return self


def _has_twice(numbers: tuple[int, ...]) -> bool:
    return len(set(numbers)) < len(numbers)
