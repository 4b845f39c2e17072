"""Jobs: submitted, carried shard by shard to their end, and looked after."""
