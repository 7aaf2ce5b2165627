-- How far what happened at each connection's gateway has been asked for. All before read_until is among the webhooks.
CREATE TABLE IF NOT EXISTS list_cursors (
    merchant   text   NOT NULL,
    connection text   NOT NULL,
    read_until bigint NOT NULL,
    next_at    bigint NOT NULL, -- when it is asked again
    tries      bigint NOT NULL, -- how often in a row it has not answered
    reason     text   NOT NULL, -- the last time
    PRIMARY KEY (merchant, connection)
);
