"""What a request may say, and what an answer says."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from minigpt_pipeline.parameters import SamplingParameters
from minigpt_pipeline.serving.settings import ServingSettings

MAX_SEED = 2**63 - 1


class RequestError(Exception):
    """A request is not answered.

    Args:
        status: Of HTTP.
        code: The reason in a word.
        message: What is wrong, with the value, and what to do.
        retry_after: Seconds after which it may be.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after

    @property
    def content(self) -> dict[str, Any]:
        """What is answered instead."""
        return {"error": {"code": self.code, "message": self.message}}


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _leave_defaults_to_the_server(schema: dict[str, Any]) -> None:
    """Take the defaults out of the description: what is left out is as the server's settings say, and null is off."""
    for name in (*SamplingParameters.model_fields, "seed"):
        schema["properties"].get(name, {}).pop("default", None)
    schema["examples"] = [{"prompt": "the best scene", "max_new_tokens": 20, "seed": 1}]


class GenerateRequest(BaseModel):
    """Prompts, and how they go on. What is left out is as `/v1/model` says; null switches a rule off."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_leave_defaults_to_the_server)

    prompt: str | Annotated[list[str], Field(min_length=1)]
    """A text, or several."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 40
    temperature: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    """Divides the logits; 0 always takes the most probable word."""
    top_k: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Only the k most probable words can be drawn."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Only the most probable words, as few as have this share of the probability."""
    min_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Only words with this share of the most probable word's probability."""
    repetition_penalty: Annotated[float, Field(ge=1.0, le=100.0)] | None = None
    """Makes words less probable that the text has already."""
    no_repeat_ngram_size: Annotated[int, Field(ge=1, le=100)] | None = None
    """No so many neighbouring words stand twice in a text."""
    stop_at_end_of_review: bool | None = None
    """Whether a text ends where the model ends it; null means if it has learnt to."""
    seed: Seed | Annotated[list[Seed], Field(min_length=1)] = 42
    """The same seed, prompt, version and parameters give the same text. Several seeds: a text for each, of one prompt
    or of as many."""
    stream: bool = False
    """Answer with server-sent events: `start`, `token`, `done`, or `error`."""

    @model_validator(mode="after")
    def _prompts_and_seeds_pair_up(self) -> Self:
        if (
            isinstance(self.prompt, list)
            and isinstance(self.seed, list)
            and len(self.prompt) != len(self.seed)
        ):
            raise ValueError(
                f"{len(self.prompt)} prompts and {len(self.seed)} seeds: one seed for each, or one for all"
            )
        return self

    def list_texts(self) -> tuple[list[str], list[int]]:
        """Return the prompt and the seed of each text that is asked for."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        seeds = [self.seed] if isinstance(self.seed, int) else self.seed
        num_texts = max(len(prompts), len(seeds))
        return prompts * (num_texts // len(prompts)), seeds * (num_texts // len(seeds))

    def choose_sampling(self, settings: ServingSettings) -> SamplingParameters:
        """Return how words are chosen, with the defaults of the server where the request says nothing."""
        given = {
            name: getattr(self, name)
            for name in self.model_fields_set & SamplingParameters.model_fields.keys()
        }
        return SamplingParameters(**settings.sampling.model_dump() | given)

    def with_defaults(self, settings: ServingSettings) -> Self:
        """Return the request with the server's seed, where it has none."""
        return self if "seed" in self.model_fields_set else self.model_copy(update={"seed": settings.seed})


def check_size(prompts: list[str], max_new_tokens: int, settings: ServingSettings) -> None:
    """Refuse what is larger than the server takes on.

    Raises:
        RequestError: With status 413.
    """
    if len(prompts) > settings.max_prompts:
        raise RequestError(
            413,
            "too_many_prompts",
            f"{len(prompts)} texts are asked for, and {settings.max_prompts} is the most of one request: send several",
        )
    longest = max(map(len, prompts))
    if longest > settings.max_prompt_characters:
        raise RequestError(
            413,
            "prompt_too_long",
            f"A prompt has {longest} characters, and {settings.max_prompt_characters} is the most: shorten it",
        )
    if max_new_tokens > settings.max_new_tokens:
        raise RequestError(
            413,
            "too_many_tokens",
            f"max_new_tokens={max_new_tokens}, and {settings.max_new_tokens} is the most of one text",
        )
