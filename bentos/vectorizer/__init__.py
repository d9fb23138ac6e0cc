"""image-vectorizer: finds, embeds, lists and removes the faces of photos."""
