DROP TABLE paid_calls;
