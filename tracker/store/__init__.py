"""What is remembered: the only place that imports sqlmodel or sqlalchemy. It takes and gives values, never rows."""
