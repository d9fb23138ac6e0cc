"""No secret leaves the process, whatever a store does."""
