"""Finetuning by agents nobody trusts: machines with the code, a remote and a Prefect work pool.

Read in this order: `forms` (what is said between us), `agent` (what an agent does), `checking`
(what is asked of its files), `handing_out` (who gets what, and what becomes of it). docs/scale.md
has the view from outside.
"""
