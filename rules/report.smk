# The chapters, and the report compiled from them.
