"""WHEN: flows and their schedules. Each runs DVC; none does machine learning.

Prefect reads its settings as it is imported, so what keeps it to this folder and off the network is said here, before
any flow imports it. All are defaults: a value that the environment has already wins.
"""

import os
from pathlib import Path

import stages  # noqa: F401  before Prefect: it says so where Python lacks the libraries

SETTINGS = {
    "PREFECT_HOME": str(
        Path(".prefect").resolve()
    ),  # its database, not one shared by all of a user's projects
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
