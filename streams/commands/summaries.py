"""What each command does, in one line, apart from the code that does it."""

SUMMARIES = {
    "check-config": "Validate a configuration and say in plain words what it will do.",
    "decisions": "List or follow the decisions in Kafka.",
    "demo": "Play a simulated incident through a real worker; needs no other service.",
    "replay": "Run the detector over log files, without Kafka, in event time.",
    "simulate": "Write labelled traffic to a file or to Kafka.",
    "topics": "Create the topics, or check that they are as they must be.",
    "worker": "Run the detector against Kafka.",
}
