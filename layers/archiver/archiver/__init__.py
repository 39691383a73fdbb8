"""The export archiver's package: one job's export, from the vendor's link to the company's bucket.

Read archiving/archive.py first: it is the use case. The rooms, from the ground up (who may import
whom stands in tests/architecture/test_arrows.py):

- the modules here: the words that all share (job, intent, receipt, claim, states, outage, errors,
  moment) and telemetry
- network: HTTP over TLS, threads, deadlines, and `Outside`, all of the world that is touched
- apartmentiq: the vendor; transfer: the bytes
- archiving, callbacks, sweep, orders: the use cases, one for each function
- aws: the only modules that know boto3; they implement what the use cases ask for
- wiring: the settings, and one builder for each function
"""

__all__ = ["VERSION"]

VERSION = "0.1.0"  # goes into each object's metadata, so that an odd object tells what wrote it
