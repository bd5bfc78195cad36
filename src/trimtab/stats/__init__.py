"""Pure arithmetic: sequential tests, intervals, rollout maths. Standard library only; no I/O, no clock."""
