"""The model that MLflow serves. MLflow copies this one file into every version and runs it there.

It needs this package installed and holds no logic of its own beyond prediction: what is masked and
when is in `flows.serving.masking`.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from transformers import PreTrainedModel

from flows.serving.card import DEFAULT_NEW_TOKENS, ModelCard
from flows.serving.errors import PromptTooLongError
from flows.serving.loading import load_model, load_tokenizer
from flows.serving.masking import MaskedModels
from sift_core.examples import prompt_tokens

BATCH = 32


class SiftModel(PythonModel):  # type: ignore[misc]  # MLflow's types are not read
    """A merged model that gives each of its contributors the weights under their own mask."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the version's card and its served weights."""
        served = Path(context.artifacts["served"])
        self.card = ModelCard.read(Path(context.artifacts["card"]))
        self.tokenizer = load_tokenizer(served)
        self.models = MaskedModels(self.card, load_model(served, self.card.task))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict for `params["contributor"]`; nobody, or no member of this version: unmasked.

        Classification: column `text` in, columns `label` and `score` (its probability) out.
        Generation: column `prompt` in, column `completion` out, greedy, at most
        `params["max_new_tokens"]` tokens.
        """
        params = params or {}
        model = self.models.serving(params.get("contributor") or "")
        with torch.inference_mode():
            if self.card.task == "classification":
                answers = self._classify(model, list(model_input["text"]))
            else:
                tokens = int(params.get("max_new_tokens") or DEFAULT_NEW_TOKENS)
                answers = self._complete(model, list(model_input["prompt"]), tokens)
        return pd.DataFrame(answers, index=model_input.index)

    def _classify(self, model: PreTrainedModel, texts: list[str]) -> dict[str, list[Any]]:
        labels: list[str] = []
        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            batch = self.tokenizer(
                texts[start : start + BATCH],
                padding=True,
                truncation=True,
                max_length=self.card.max_length,
                return_tensors="pt",
            )
            best = model(**batch).logits.double().softmax(-1).max(-1)  # (batch, classes) -> (batch)
            labels += [self.card.labels[index] for index in best.indices.tolist()]
            scores += best.values.tolist()
        return {"label": labels, "score": scores}

    def _complete(
        self, model: PreTrainedModel, prompts: list[str], new_tokens: int
    ) -> dict[str, list[Any]]:
        completions = []
        for prompt in prompts:  # one by one: an answer does not depend on its neighbours' padding
            tokens = prompt_tokens((("user", prompt),), self.tokenizer)
            room = model.config.max_position_embeddings
            if len(tokens) + new_tokens > room:
                raise PromptTooLongError(
                    f"A prompt of {len(tokens)} tokens and {new_tokens} new ones exceed the "
                    f"{room} of this model.",
                    remedy="shorten the prompt or ask for fewer with `max_new_tokens`.",
                )
            given = torch.tensor([tokens])  # (1, tokens)
            written = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
            )
            answer = written[0, len(tokens) :]
            completions.append(self.tokenizer.decode(answer, skip_special_tokens=True))
        return {"completion": completions}


mlflow.models.set_model(SiftModel())
