"""From rows to task vectors: the base model, finetuning, and what stays of it."""
