"""The servers that we start, and what stands before each: own address, own pages, a key."""
