"""What can be wrong with what a worker gives back."""

from flows.errors import FlowError


class WorkersFailedError(FlowError):
    """Some contributors have no valid vector after as many workers as were to try.

    What others finished is recorded: the same command goes on from there.
    """


class ContradictionError(FlowError):
    """Two workers in one environment gave other bits for one finetuning: one of them is wrong."""


class PoolError(FlowError):
    """The work pool, or our deployment on it, is not there, or Prefect does not answer."""

    exit_code = 2


class QuarantinedError(FlowError):
    """Base of everything for which a worker's work does not count; the file is quarantined."""


class ManifestError(QuarantinedError):
    """A manifest is not of its form, or speaks of another contributor, run, dataset or base."""


class MachineError(QuarantinedError):
    """A manifest names a machine that the operator has not admitted."""


class ObjectIrregularError(QuarantinedError):
    """In place of a file there is a link, a pipe, a device, a folder, or a file with two names."""


class ObjectMissingError(QuarantinedError):
    """A manifest names an object that is not there."""


class ObjectAlteredError(QuarantinedError):
    """An object's SHA-256 or size is not what the manifest says."""


class ObjectInvalidError(QuarantinedError):
    """An object is no vector or mask of this workspace: form, shape, grid, sign seed, numbers."""


class DigestError(QuarantinedError):
    """The linear digest that a worker claims is not that of its vector."""


class SpotCheckError(QuarantinedError):
    """The same finetuning gives other bits here."""


class OtherBitsError(QuarantinedError):
    """A late result for a finetuning that is recorded already, with other bits."""
