"""Finetuning by workers nobody trusts: machines with the code, a remote and a Prefect work pool.

Read in this order: `messages` (what is said between us), `worker` (what a worker does), `checks`
(what is asked of its files), `assignments` (who gets what, and what becomes of it).
docs/how-to/workers.md has the view from outside.
"""
