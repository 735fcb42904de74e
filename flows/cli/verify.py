"""`sift verify`: exactness of a workspace, or one certificate anywhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.progress import progress
from flows.cli.render import print_json, print_table, say
from flows.errors import UsageError

if TYPE_CHECKING:
    from flows.models.verify import Way

app = typer.Typer()


@app.command(
    epilog=example(
        "sift verify",
        "sift verify --rebuild",
        "sift verify --rederive",
        "sift verify certificate.dsse.json --key public --report reports/opt-out-0001",
    )
)
def verify(
    certificate: Annotated[
        Path | None,
        typer.Argument(help="A certificate to check, offline; without one, the workspace."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The folder of the issuer's public keys; else the workspace's."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="The folder of report.json and report.html; else the certificate's."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="The model folder, unmasked.")] = None,
    lineage: Annotated[
        Path | None, typer.Option(help="What `sift lineage export` wrote of the certified state.")
    ] = None,
    chain: Annotated[
        Path | None, typer.Option(help="A folder with all certificates of the issuer.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="The merge-state file.")] = None,
    base: Annotated[Path | None, typer.Option(help="The folder of the base model.")] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="A folder with vectors/ and masks/ of all members.")
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Rebuild the merge from all vectors, however many members there are."
        ),
    ] = False,
    rederive: Annotated[
        bool,
        typer.Option(
            "--rederive", help="Run every member's finetuning again and rebuild from that."
        ),
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Check the workspace's exactness, or one certificate without a workspace; exit 1 on failure.

    Of a workspace, the merge is rebuilt from the stored vectors and compared bit by bit, or its
    derivation is checked where it has more members than `verify.rebuild_up_to`. Of a certificate,
    each level is checked that there is material for.
    """
    material = {
        "report": report,
        "model": model,
        "lineage": lineage,
        "chain": chain,
        "state": state,
        "base": base,
        "vectors": vectors,
    }
    if certificate is None:
        if key or any(material.values()):
            raise UsageError(
                "These options belong to a certificate.",
                remedy="name its file first: sift verify CERTIFICATE --key FOLDER.",
            )
        if rebuild and rederive:
            raise UsageError(
                "--rebuild and --rederive are two ways to rebuild.", remedy="choose one."
            )
        way: Way = "finetune again" if rederive else "rebuild" if rebuild else "as set"
        _verify_workspace(folder, way, json)
        return
    if rebuild or rederive:
        raise UsageError(
            "--rebuild and --rederive need a workspace, not a certificate.",
            remedy="leave one of the two out.",
        )
    _verify_certificate(certificate, key or _own_keys(folder), material, json)


def _verify_workspace(folder: Path, way: "Way", json: bool) -> None:
    from flows.evidence.verification import verify as check
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with progress(quiet=json):
        found = check(workspace, way)
    if json:
        print_json(found.as_dict())
    else:
        print_table(
            f"Merge state {found.state_seq} of {found.members} members: {found.level}",
            ["check", "", "found"],
            [(c.name, "passed" if c.passed else "FAILED", c.found) for c in found.checks],
            right=3,
        )
    if not found.passed:
        found.require()  # the first failure in one line, exit code 1


def _verify_certificate(
    certificate: Path, key: Path, material: dict[str, Path | None], json: bool
) -> None:
    from flows.evidence.proof import Material, prove

    if material["report"] is None and (certificate.parent / "report.json").is_file():
        material["report"] = certificate.parent
    with progress(quiet=json):
        proof = prove(certificate, Material(key, **material))
    if json:
        print_json(proof.as_dict())
    else:
        print_table(
            f"Certificate {certificate.name} of {proof.about or 'what is unknown'}",
            ["level", "", "found"],
            [(level.name, level.status, level.found) for level in proof.levels],
            right=3,
        )
        say(f"Trusted key: {key}")
    if not proof.passed:
        proof.require()


def _own_keys(folder: Path) -> Path:
    from flows.workspace.keyring import Keys

    keys = Keys(folder.resolve()).public_folder
    if not keys.is_dir():
        raise UsageError(
            "No public key is given, and there is no workspace here that has one.",
            remedy="name the issuer's keys with --key; `sift keys show --out FOLDER` writes them.",
        )
    return keys
