"""The two services of the face search backend and what they share."""
