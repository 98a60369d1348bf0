-- The keys that sign, and what seals them: the same as ../0005_keys.sql, which is for SQLite.

CREATE TABLE sealing (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    root       TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE keys (
    kid            TEXT   NOT NULL PRIMARY KEY,
    purpose        TEXT   NOT NULL CHECK (purpose IN ('tokens', 'checkpoints')),
    algorithm      TEXT   NOT NULL CHECK (algorithm IN ('HS256', 'EdDSA')),
    sealed         TEXT,
    public_key     TEXT,
    added_at       BIGINT NOT NULL,
    signs_from     BIGINT,
    retired_at     BIGINT,
    revoked_at     BIGINT,
    sessions_ended BIGINT NOT NULL DEFAULT 0,
    CHECK ((public_key IS NOT NULL) = (algorithm = 'EdDSA')),
    CHECK (purpose = 'tokens' OR algorithm = 'EdDSA'),
    CHECK (revoked_at IS NULL OR retired_at IS NOT NULL)
);
