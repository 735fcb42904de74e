"""A signature beside an exported model folder, in the format of sigstore's model-signing.

Its own verifier checks it, without us: `model_signing verify key`. That library knows EC keys and
no Ed25519, so a workspace has an EC P-256 key beside, named by the key of its certificates.
"""

from pathlib import Path

from flows.errors import UsageError
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace


def sign_model(workspace: Workspace, folder: Path) -> Path:
    """Sign every file of a model folder; the signature, `<folder>.sig` beside it.

    Raises UsageError where model-signing is not installed or there is no key.
    """
    require_model_signing()
    from model_signing import signing

    signature = signature_of(folder)
    key = Keys(workspace.root).model_key_file()
    signing.Config().use_elliptic_key_signer(private_key=key).sign(folder.resolve(), signature)
    return signature


def signature_of(folder: Path) -> Path:
    """Where the signature of a folder is: beside it, for within it would be one of its files."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.sig")


def require_model_signing() -> None:
    """Raise UsageError where the library is not installed."""
    try:
        import model_signing.signing  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"A model folder is signed with model-signing, which does not load: {error}.",
            remedy="install the extra: pip install --constraint constraints.txt "
            "'.[model-signing]'.",
        ) from error
