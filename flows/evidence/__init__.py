"""What others may check: reports, certificates, inventory, signatures, pictures."""
