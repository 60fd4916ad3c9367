"""Pages made from run documents. Nothing here runs an engine or imports torch."""
