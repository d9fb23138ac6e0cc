"""FaceRunner, the BentoML service that runs the pipeline, and the client that calls it."""
