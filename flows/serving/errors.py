"""What can go wrong while a registered version is served: each is named, none serves unmasked."""

from flows.errors import FlowError, UsageError


class WorkspaceMissingError(UsageError):
    """A contributor was named, but the workspace with the masks is not where the card says."""


class MaskMissingError(FlowError):
    """A member's mask is nowhere: not among the masks, not in the DVC cache."""


class AlteredError(FlowError):
    """A mask, the base model or the served weights are not the ones that were registered."""


class PromptTooLongError(UsageError):
    """A prompt and the asked number of tokens do not fit the model."""
