"""AWS: the only modules that know boto3. Each translates its errors once, into archiver.errors."""
