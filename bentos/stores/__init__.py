"""Where vectors, metadata and images live, behind one Protocol each."""
