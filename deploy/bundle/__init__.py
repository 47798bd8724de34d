"""The code of the Lambda functions as one zip: our packages, a few wheels, and precompiled kernels."""

from __future__ import annotations

from deploy.bundle.archive import BundleError
from deploy.bundle.making import Bundle, build

__all__ = ["Bundle", "BundleError", "build"]
