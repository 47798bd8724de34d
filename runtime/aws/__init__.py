"""Clients of AWS services: access, retries, signatures, and S3 without boto3."""
