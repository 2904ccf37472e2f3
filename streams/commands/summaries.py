"""What each command does, in one line, apart from the code that does it."""

SUMMARIES = {
    "allow": "Leave an account, all with a link or an address range alone for a time.",
    "approve": "Say yes to a review: the action applies to all of its subject.",
    "audit": "Show what operators said: who, when, what and why.",
    "calendar": "Announce an event during which more than usual is to be expected.",
    "check-config": "Validate a configuration and say in plain words what it will do.",
    "compare": "Run a log through two configurations: what would change.",
    "confirm": "Say that a decision was right.",
    "decisions": "List or follow the decisions in Kafka.",
    "demo": "Play a simulated incident through a real worker; needs no other service.",
    "explain": "Tell why: what was seen, what is usual, what was asked for, what followed.",
    "mode": "Mean the decisions, or only show what they would be.",
    "overturn": "Say that a decision was wrong, and lift it.",
    "pseudonymise": "Replace names in request events by keyed hashes, for shippers.",
    "reject": "Say no to a review.",
    "release": "Lift what is in force for an account or a link.",
    "replay": "Run the detector over log files, without Kafka, in event time.",
    "report": "Write a case as one HTML page, with plots.",
    "simulate": "Write labelled traffic to a file or to Kafka.",
    "topics": "Create the topics, or check that they are as they must be.",
    "worker": "Run the detector against Kafka.",
}
