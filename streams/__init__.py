"""How events flow: from the gateway through Kafka to the models, and out as decisions."""
