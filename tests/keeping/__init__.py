"""Where backups are kept: a folder, a bucket of a real server that speaks S3, and what commands do with either."""
