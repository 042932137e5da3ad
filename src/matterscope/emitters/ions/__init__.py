"""From an ion beam to an array: transport, cascades, films, dose and yield."""
