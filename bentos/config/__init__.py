"""The settings of both services and the checks that run before a service starts."""
