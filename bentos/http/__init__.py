"""What both HTTP services share: middleware, error responses, request fields, OpenAPI."""
