"""What `sift doctor` looks at: the machine, the stores, what is held in trust."""
