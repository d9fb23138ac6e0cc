"""Settings, errors, ids, the API key, logging: what every service needs."""
