"""The alerts and the dashboard of deploy/monitoring, against a real Prometheus that scrapes the running services."""
