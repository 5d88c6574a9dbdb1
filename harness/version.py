"""The version of the package; kept alone so that a build can read it without importing anything."""

VERSION = "0.1.0"
