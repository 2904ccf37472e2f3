"""The demo: a simulated incident, a broker in memory and a real worker between them."""
