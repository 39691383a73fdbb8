"""What finds completed jobs that nobody told of, and uploads that nobody ends."""
