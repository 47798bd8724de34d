"""Clients of AWS services: how they are reached, when a request is sent again, and S3 without boto3."""
