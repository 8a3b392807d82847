"""Settings of the test run."""

import platform

# The report is published: it does not name the machine that made it.
platform.node = lambda: "localhost"
