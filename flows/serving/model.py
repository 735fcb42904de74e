"""The model that MLflow serves. MLflow copies this one file into every version and runs it there.

It needs this package installed and holds no logic of its own beyond prediction: what is masked and
when is in `flows.serving.version`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext

from flows.errors import UsageError
from flows.integrations.mlflow.card import ModelCard
from flows.serving.errors import PromptTooLongError
from flows.serving.loading import load_version, load_version_tokenizer
from flows.serving.parameters import (
    contributors,
    new_tokens,
    refuse_unknown,
    require_columns,
    require_known,
    require_once,
)
from flows.serving.version import Addressee, Asked, LoadedVersion
from sift_core import Reading
from sift_core.answers import class_logits
from sift_core.base_requirements import positions
from sift_core.chat_tokens import prompt_tokens
from sift_core.encoding import text_sequences, text_tokens
from sift_core.examples import said
from sift_core.foreign_errors import border

BATCH = 32
COLUMNS = {"classification": ("text",), "generation": ("prompt", "text")}
"""What a row is asked in, by task: one of these columns."""

Answers = dict[str, list[Any]]
"""Columns of what rows are answered, in their order."""

_SHORTER = "ask for fewer or shorter rows, where the cause speaks of memory."


class SiftModel(PythonModel):  # type: ignore[misc]  # MLflow's types are not read
    """A merged model that gives each of its contributors the weights under their own mask."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the version's card and its served weights."""
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        self.load(paths["served"], ModelCard.read(paths["card"]), paths.get("members"))

    def load(self, served: Path, card: ModelCard, members: Path | None = None) -> None:
        """Load a folder of weights or adapters as the version of this card. Raises ModelError.

        `members` is the file of the members' weights, where they are not anyone's.
        """
        self.card = card
        self.tokenizer = load_version_tokenizer(served, card)
        self.version = LoadedVersion(card, load_version(served, card), members)
        refuse_unknown()

    @property
    def reading(self) -> Reading:
        """How a text to classify is read: as in training."""
        return Reading(self.card.max_length, self.card.too_long)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict each row for its contributor; nobody, or no member of this version: unmasked.

        Column `contributor` names them row by row, `params["contributor"]` one for all rows.
        Classification: column `text` in, columns `label` and `score` (its probability) out.
        Generation: column `prompt`, which is put as a user's turn, or `text`, which is continued as
        it stands, in; column `completion` out, greedy, at most `params["max_new_tokens"]` tokens.
        A row that is too long is treated as in training (`data.too_long`). Raises UsageError, with
        the row, for an empty cell, and for a column or a parameter that there is not.
        """
        params = params or {}
        require_known(self.card.task, params)
        asked_in, texts = _cells(model_input, COLUMNS[self.card.task])
        require_columns(model_input, COLUMNS[self.card.task])
        addressees = self.version.addressees(contributors(model_input, params))
        if self.card.task == "classification":
            answers = self._classify(texts, addressees)
        else:
            answers = self._complete(asked_in, texts, addressees, new_tokens(params))
        return pd.DataFrame(answers, index=model_input.index)

    def _classify(self, texts: list[str], addressees: list[Addressee]) -> Answers:
        labels, scores = [""] * len(texts), [0.0] * len(texts)
        for rows in self.version.together(addressees, BATCH, mixed=True):
            with (
                self.version.asking([addressees[row] for row in rows]) as asked,
                torch.inference_mode(),
                border("The model cannot classify", _SHORTER),
            ):
                logits = self._class_logits(asked, [texts[row] for row in rows])
            best = logits.softmax(-1).max(-1)  # (rows, classes) -> (rows)
            for row, index, score in zip(
                rows, best.indices.tolist(), best.values.tolist(), strict=True
            ):
                labels[row], scores[row] = self.card.labels[index], score
        return {"label": labels, "score": scores}

    def _class_logits(self, asked: Asked, texts: list[str]) -> torch.Tensor:
        """(texts, classes) float64; a text of several windows by the mean of their logits."""
        rows: list[dict[str, Any]] = []
        of: list[int] = []
        for number, text in enumerate(texts):
            windows, _ = text_sequences(text, self.tokenizer, self.reading)
            rows += windows
            of += [number] * len(windows)
        found = []
        for start in range(0, len(rows), BATCH):
            batch = self.tokenizer.pad(rows[start : start + BATCH], return_tensors="pt")
            found.append(asked.logits(batch, of[start : start + BATCH]))
        return class_logits(torch.tensor(of), torch.cat(found))

    def _complete(
        self, asked_in: str, prompts: list[str], addressees: list[Addressee], most: int
    ) -> Answers:
        completions = [""] * len(prompts)
        # One by one: an answer does not depend on its neighbours' padding.
        for rows in self.version.together(addressees, BATCH, mixed=False):
            with (
                self.version.asking([addressees[row] for row in rows]) as asked,
                torch.inference_mode(),
            ):
                for row in rows:
                    completions[row] = self._completion(asked, asked_in, prompts[row], most)
        return {"completion": completions}

    def _completion(self, asked: Asked, asked_in: str, prompt: str, most: int) -> str:
        model = asked.fresh()
        with border("The tokenizer refuses a prompt", "ask in the words of a person."):
            if asked_in == "text":
                tokens = text_tokens(prompt, self.tokenizer)
            else:
                tokens = prompt_tokens((said("user", prompt),), self.tokenizer)
        tokens = self._fitting(tokens, positions(model.config), most)
        given = torch.tensor([tokens])  # (1, tokens)
        with border("The model cannot answer", _SHORTER):
            written = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=most,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        found: str = self.tokenizer.decode(written[0, len(tokens) :], skip_special_tokens=True)
        return found

    def _fitting(self, tokens: list[int], room: int | None, most: int) -> list[int]:
        """The tokens of a prompt, or as many of its last as leave room for `most` new ones.

        Raises PromptTooLongError where even that is refused, or where there is no room.
        """
        if room is None or len(tokens) + most <= room:
            return tokens
        if self.card.too_long == "refuse" or most >= room:
            raise PromptTooLongError(
                f"A prompt of {len(tokens)} tokens and {most} new ones exceed the "
                f"{room} of this model.",
                remedy="shorten the prompt or ask for fewer with `max_new_tokens`.",
            )
        return tokens[len(tokens) + most - room :]


def _cells(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[str, list[str]]:
    """The column that is asked in, and its texts. Raises UsageError, with the row, for no text."""
    require_once(rows)
    given = [column for column in columns if column in rows]
    if len(given) > 1:  # MLflow fills in a column that it knows and nobody gave
        given = [column for column in given if not rows[column].isna().all()]
    if len(given) != 1:
        wanted = " or ".join(map(repr, columns))
        found = ", ".join(map(repr, rows.columns))
        raise UsageError(
            f"There is no column {wanted}, there is {found}."
            if not given
            else f"A row is asked in one column, {wanted}, and not in both.",
            remedy=f"give one column {wanted} of texts.",
        )
    for number, cell in enumerate(rows[given[0]], start=1):
        if not isinstance(cell, str) or not cell.strip():
            raise UsageError(
                f"Row {number} of {len(rows)} has no text in column {given[0]!r}.",
                remedy="leave this row out, or give it a text; nothing was answered.",
            )
    return given[0], list(rows[given[0]])


mlflow.models.set_model(SiftModel())
