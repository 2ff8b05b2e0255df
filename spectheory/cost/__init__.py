"""What a drafted token costs, and the speed-up that follows from an acceptance."""
