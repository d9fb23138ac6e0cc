"""Changes a base to another face pack or aligner while the services run: `python -m bentos.reembed`."""
