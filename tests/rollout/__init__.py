"""The rollout test: replicas replaced and killed under load, behind a real load balancer. `make roll-check` runs it."""
