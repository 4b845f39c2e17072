"""Services: S3 and Redis, a module for each use of them."""
