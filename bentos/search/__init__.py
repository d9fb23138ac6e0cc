"""image-search: finds the photos that show the person of a selfie."""
