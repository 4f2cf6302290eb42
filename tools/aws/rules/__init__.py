"""Topic rules: what AWS does with the readings; one file a target (sns.py, dynamodb.py, …)."""
