"""The rollout test: replaces and kills replicas under load behind a real load balancer; run by `make roll-check`."""
