"""What honest customers do on a day: when they come, what they read, and what befalls them."""
