"""The console script, the demo and the AWS deployment."""
