"""The certificate of an opt-out: statement, envelope, chain, keys, levels."""
