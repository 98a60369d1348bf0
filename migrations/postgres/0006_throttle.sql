-- Failed sign-ins: the same as ../0006_throttle.sql, which is for SQLite.

CREATE TABLE attempts (
    counter   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    failed_at BIGINT NOT NULL,
    faded_at  BIGINT NOT NULL
);
CREATE INDEX attempts_by_end ON attempts (faded_at);

CREATE TABLE known_networks (
    org          TEXT   NOT NULL,
    username     TEXT COLLATE "C" NOT NULL,
    network      TEXT COLLATE "C" NOT NULL,
    signed_in_at BIGINT NOT NULL,
    PRIMARY KEY (org, username, network),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
);
