"""Do the three stores agree? What a crash, an outage or a hand has left behind is found here, and repaired."""
