"""A request from receipt to purge: policy, deadlines, approvals, plan, steps, tombstones."""
