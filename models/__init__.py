"""Face packs: the catalogue of models and the tool that makes them ready to serve."""
