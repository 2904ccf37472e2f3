"""Those who copy the catalogue, or break the service: one entry for each attack."""
