"""The images of both services as the strictest cluster would run them. `make container-test` builds and tests them."""
