"""`python -m tests.bulk`: measures bulk indexing on real servers, and interrupts it in every way."""
