"""What we measure: quality beside the methods people would pick instead, cost beside the limits."""
