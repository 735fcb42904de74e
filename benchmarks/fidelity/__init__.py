"""The paper's experiment on any dataset in our form: methods side by side, then opt-outs.

    settings → base model → finetunings (each once) → merged models → scores → tables and plots

Every stage finds what an earlier run left and goes on from there.
"""
