"""The form of the audit. It knows every check, and so imports what they look into."""

from typing import Annotated

from pydantic import Field

from flows.evidence.audit_checks import CHECKS
from flows.ui.forms import Form, OneOf

CheckName = Annotated[str, OneOf(lambda: list(CHECKS))]


class AuditForm(Form):
    """What is looked at."""

    checks: list[CheckName] = Field(
        default=list(CHECKS),
        min_length=1,
        description="All by default; `exactness` rebuilds the merge and takes longest.",
    )
