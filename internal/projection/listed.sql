-- The connections there are, for whoever asks their gateways what has happened. created_at is in microseconds since 1970.
CREATE TABLE IF NOT EXISTS listed_connections (
    merchant_id   text   NOT NULL,
    connection_id text   NOT NULL,
    created_at    bigint NOT NULL,
    PRIMARY KEY (merchant_id, connection_id)
);
