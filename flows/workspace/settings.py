"""`params.yaml` as types: what a workspace was told to do."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from flows.workspace.times import zone
from lineage.records import MemberMean, TooLong, TrainOnTurns
from lineage.times import Day

Name = Annotated[str, Field(min_length=1, max_length=200)]


def _no_or_several(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(labels) == 1:
        raise ValueError("a classifier needs two labels or more, a causal LM none")
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there twice")
    return labels


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """What the model is called."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    """The registered model in MLflow."""


class WarmStartSettings(_Section):
    """Public data that trains a fresh classifier head once. Never subject to an opt-out."""

    data: Name
    """JSON Lines of `text` and `label`, a path inside the workspace."""
    name: Name
    """What lineage and the model card call the data."""
    licence: Name
    """Under which licence the data are used."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """Passes over the data."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Of Adam."""


class BaseSettings(_Section):
    """Which base model, and how it is made."""

    source: Name
    """A Hugging Face id, a folder, or a `.gguf` file."""
    revision: Annotated[str, Field(pattern=r"^[\w./-]{1,200}$")] | None = None
    """The commit of a Hugging Face id; null: the newest, and which that is gets recorded."""
    labels: Annotated[tuple[Name, ...], AfterValidator(_no_or_several)] = ()
    """Class names in order; empty: a causal language model."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws a fresh classifier head."""
    max_length: Annotated[int, Field(ge=4)] = 256
    """Tokens of a row that are read."""
    warm_start: WarmStartSettings | None = None
    """Public data for a fresh head; null: none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What θ0 is stored in and served in; finetuning and scoring widen it to float32."""
    shard_size: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$")] | None = None
    """The largest file of weights; None: transformers' own choice."""
    streamed: bool = False
    """Score with weights that stay on disk but for those in use: docs/how-to/large-models.md."""
    scored_at_once: Annotated[int, Field(ge=1)] = 32
    """Rows of a batch where nothing trains."""

    @property
    def task(self) -> Literal["classification", "generation"]:
        """`classification` where there are labels, else `generation`."""
        return "classification" if self.labels else "generation"


class ExactnessSettings(_Section):
    """The grid and the seeds that exactness rests on."""

    grid_bits: Annotated[int, Field(ge=8, le=60)] = 24
    """A task vector's entries are multiples of 2^-grid_bits."""
    sign_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Draws the sign vector."""
    digest_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Draws the coefficients of the linear digest."""
    member_mean: MemberMean = "counted"
    """What a member is served in an entry that they moved: the mean over the members who moved it
    (counted), or over all members, as in the paper."""


class DataSettings(_Section):
    """How contributors' rows are split and when there are too few."""

    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of a contributor's rows kept for evaluation."""
    min_rows: Annotated[int, Field(ge=2)] = 2
    """Contributors with fewer rows are refused: one trains, one is held out."""
    too_long: TooLong = "window"
    """Of a row with more than base.max_length tokens: window reads all of it, window by window, cut
    the beginning of a text and the end of a chat, refuse takes no such row in."""
    train_on_turns: TrainOnTurns = "all"
    """Of a chat, which of the assistant's turns are learned."""


class AdapterSettings(_Section):
    """A LoRA adapter in PEFT's words. Its A is drawn from `exactness.sign_seed`, its B trains."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rows of A, columns of B."""
    alpha: Annotated[int, Field(ge=1, le=65536)] = 32
    """The change of a layer is alpha/rank · B·A."""
    targets: Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(_one_or_several)] = (
        "all-linear",
    )
    """Linear layers that get one: all-linear, or names such as q_proj, or patterns of names."""


class FinetuneSettings(_Section):
    """How every contributor is finetuned."""

    adapter: AdapterSettings | None = None
    """Train a LoRA adapter, not the weights: docs/how-to/adapters.md; null: the weights."""
    train_only: Annotated[tuple[Name, ...], Field(min_length=1)] = ("*",)
    """Name patterns of what trains; embeddings and output head are always frozen."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Of Adam."""
    steps: Annotated[int, Field(ge=1)] = 20
    """Optimizer steps of each contributor."""
    batch_size: Annotated[int, Field(ge=1)] = 20
    """Rows of a step."""
    full_batch_below: Annotated[int, Field(ge=0)] = 128
    """With fewer rows, every step sees them all."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 0.0
    """Gradients are clipped to this norm; 0: they are not."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The same for every contributor: a vector depends on their data alone."""
    threads: Annotated[int, Field(ge=1)] = 2
    """CPU threads; part of what makes a finetuning repeat to the bit."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Where it runs: `cpu`, `cuda` or `cuda:N`."""
    precision: Literal["float32", "bf16"] = "float32"
    """What matrix products are taken in; weights and optimizer are in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share each batch of one contributor: docs/how-to/large-models.md."""


class MethodSettings(_Section):
    """All that a finetuning depends on beside the base model's files and a contributor's rows.

    Nothing else of `params.yaml` is told to a worker.
    """

    labels: tuple[Name, ...]
    """`base.labels`."""
    max_length: Annotated[int, Field(ge=4)]
    """`base.max_length`."""
    too_long: TooLong
    """`data.too_long`."""
    train_on_turns: TrainOnTurns
    """`data.train_on_turns`."""
    exactness: ExactnessSettings
    """As in params.yaml."""
    finetune: FinetuneSettings
    """As in params.yaml."""


class BuildSettings(_Section):
    """How the work is handed out: to this process, or to the workers of a Prefect work pool."""

    shard_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Contributors that one Prefect task finetunes: what is tried again as one."""
    pool: Name | None = None
    """A Prefect work pool whose workers finetune; null: this process."""
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 8
    """Shards that are with workers at a time."""
    lost_after: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Workers that may fail a contributor before the build stops."""
    spot_check: Annotated[int, Field(ge=0)] = 0
    """Finetunings of a build, drawn at random, that are run again here."""


class StorageSettings(_Section):
    """What is kept of a finetuning once the merge has taken it in."""

    keep: Literal["vectors", "masks"] = "vectors"
    """With `masks`, vectors go once merged, from DVC too; an opt-out finetunes one again."""


class RemovalAuditSettings(_Section):
    """How an opt-out is doubted before the leaver's rows are destroyed."""

    relearning_steps: Annotated[int, Field(ge=0, le=1000)] = 5
    """Steps of the relearning attack; 0: none."""
    relearning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Learning rate of the attack."""


class VerifySettings(_Section):
    """How far a merge is verified before it is registered, and by the audit."""

    rebuild_up_to: Annotated[int, Field(ge=0)] | None = None
    """Members up to whom every new merge is rebuilt from all vectors; of more, it is derived, and
    the audit rebuilds it. null: as many as take seconds, 100 or 10^9 entries in all."""
    rebuild_minutes: Annotated[float, Field(gt=0)] = 10.0
    """How long an audit may rebuild; the next one goes on from there."""


class EvaluateSettings(_Section):
    """Whose quality is measured, and what of it is published: in git, in MLflow, in reports."""

    members: Annotated[int, Field(ge=10)] = 50
    """Members that are scored, always the same; `sift evaluate --all` scores everybody."""
    smallest_group: Annotated[int, Field(ge=10)] = 10
    """No number is of fewer members than this."""


def _without_password(url: str) -> str:
    """Refuse what must not stand in a file that is in git."""
    parts = urlsplit(url)
    if parts.password is not None or "password" in dict(parse_qsl(parts.query)):
        raise ValueError(
            "a password does not belong here: docs/how-to/stores.md says where it does"
        )
    return url


StoreUrl = Annotated[str, Field(max_length=1000), AfterValidator(_without_password)]


class StoresSettings(_Section):
    """Where the stores lie that a team shares; each is null where it lies in the workspace."""

    lineage: Annotated[StoreUrl, Field(pattern=r"^postgresql://[^/]*/[^/?]+(\?.*)?$")] | None = None
    """A PostgreSQL database: `postgresql://user@host/database`, never with the password."""
    remote: Annotated[StoreUrl, Field(pattern=r"^s3://[^/]+(/.*)?$")] | None = None
    """DVC's remote: `s3://bucket/prefix`."""
    remote_endpoint: Annotated[StoreUrl, Field(pattern=r"^https?://")] | None = None
    """Of an S3 service other than Amazon's."""
    mlflow: Annotated[StoreUrl, Field(pattern=r"^https?://")] | None = None
    """An MLflow server: `https://host`."""
    mlflow_database: Annotated[StoreUrl, Field(pattern=r"^(postgresql|sqlite)\b")] | None = None
    """The database behind the MLflow server, without which nothing in it is destroyed for good."""

    @model_validator(mode="after")
    def _consistent(self) -> "StoresSettings":
        if self.remote_endpoint and not self.remote:
            raise ValueError("remote_endpoint is of a remote, and remote is null")
        if self.mlflow_database and not self.mlflow:
            raise ValueError("mlflow_database is of an MLflow server, and mlflow is null")
        return self


class OpenLineageSettings(_Section):
    """Where lineage events go, beside the file in the workspace."""

    transport: dict[str, Any] = {}
    """In the words of OpenLineage's client, such as {type: http, url: ...}; empty: nowhere."""


def _known_zone(name: str) -> str:
    zone(name)
    return name


TimeZone = Annotated[str, Field(max_length=100), AfterValidator(_known_zone)]
Period = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2} (business days?|days?|months?)$")]
"""A span of the calendar, such as `10 business days`, `45 days` or `1 month`."""


class JurisdictionSettings(_Section):
    """By when one law wants a request acknowledged and answered, counted from its receipt."""

    acknowledge: Period | None = None
    """By when receipt must be confirmed; null: no such rule."""
    answer: Period
    """By when the request must be answered."""
    extension: Period | None = None
    """How much longer the answer may take after notice; None: it may not."""


class PolicySettings(_Section):
    """How requests are handled: whose law, who approves, what is kept, who is told.

    Defaults: GDPR Art. 12(3), one month and two more with notice; CCPA regulations 11 CCR § 7021,
    ten business days to confirm, 45 days to answer and 45 more with notice, § 7101 record of 24
    months.
    """

    jurisdiction: Name = "gdpr"
    """Which of `jurisdictions` counts where neither the request nor its basis names one."""
    jurisdictions: dict[Name, JurisdictionSettings] = {
        "gdpr": JurisdictionSettings(answer="1 month", extension="2 months"),
        "ccpa": JurisdictionSettings(
            acknowledge="10 business days", answer="45 days", extension="45 days"
        ),
    }
    """Deadlines by law; add your own."""
    bases: Annotated[tuple[Name, ...], Field(min_length=1)] = (
        "gdpr-art-17",
        "gdpr-art-7",
        "gdpr-art-21",
        "ccpa-1798.105",
        "contract",
    )
    """The rights that the form of a request offers, the first as it stands; commands take any."""
    time_zone: TimeZone = "UTC"
    """The place whose days count."""
    holidays: tuple[Day, ...] = ()
    """Days that are no business days, such as 2026-12-25."""
    due_soon_days: Annotated[int, Field(ge=0, le=365)] = 7
    """From here on `sift opt-out status --check` warns."""
    approvers: tuple[Name, ...] = ()
    """Names that may approve; empty: whoever gives a name."""
    persons: Literal[1, 2] = 1
    """How many must approve; with 2, neither of whom filed the request."""
    keep_record: Period = "24 months"
    """How long the record of a request is kept after its end."""
    report_to: tuple[Name, ...] = ()
    """Who gets the report."""
    ledger: Name | None = None
    """A folder outside, where departures are noted too: docs/how-to/operating-day-two.md."""

    @model_validator(mode="after")
    def _consistent(self) -> "PolicySettings":
        if self.jurisdiction not in self.jurisdictions:
            raise ValueError(f"jurisdiction {self.jurisdiction!r} is not under jurisdictions")
        if self.approvers and len(set(self.approvers)) < self.persons:
            raise ValueError("approvers names fewer than must approve")
        return self


class Settings(_Section):
    """All of `params.yaml`."""

    model: ModelSettings
    """What the model is called."""
    base: BaseSettings
    """Which base model, and how it is made."""
    exactness: ExactnessSettings
    """Fixed before the first finetuning, never derived from data."""
    data: DataSettings = DataSettings()
    """How contributors' rows are split."""
    finetune: FinetuneSettings = FinetuneSettings()
    """How every contributor is finetuned."""
    storage: StorageSettings = StorageSettings()
    """What is kept once merged."""
    removal_audit: RemovalAuditSettings = RemovalAuditSettings()
    """How an opt-out is doubted."""
    verify: VerifySettings = VerifySettings()
    """How far a merge is verified."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """Whose quality is measured, and what of it is published."""
    build: BuildSettings = BuildSettings()
    """How the work is handed out."""
    policy: PolicySettings = PolicySettings()
    """How requests to leave are handled."""
    stores: StoresSettings = StoresSettings()
    """Stores that a team shares."""
    openlineage: OpenLineageSettings = OpenLineageSettings()
    """Where lineage events go."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.base.streamed and self.removal_audit.relearning_steps:
            raise ValueError(
                "with base.streamed, removal_audit.relearning_steps must be 0: relearning trains"
            )
        return self

    @property
    def method(self) -> MethodSettings:
        """What a finetuning depends on."""
        return MethodSettings(
            labels=self.base.labels,
            max_length=self.base.max_length,
            too_long=self.data.too_long,
            train_on_turns=self.data.train_on_turns,
            exactness=self.exactness,
            finetune=self.finetune,
        )
