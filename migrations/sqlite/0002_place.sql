-- Where a stage lives, as JSON: it is found there also when its configuration is gone.
ALTER TABLE stage ADD COLUMN place TEXT;

-- Numbers of which each may be taken once, such as the priorities of a load balancer's rules.
CREATE TABLE slot (
    pool   TEXT   NOT NULL,
    number BIGINT NOT NULL,
    holder TEXT   NOT NULL,
    PRIMARY KEY (pool, number),
    UNIQUE (pool, holder)
);
