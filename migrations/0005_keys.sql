-- The keys that sign, and what seals them.

-- The secret under which everything else is sealed that a copy of the database must not tell. It is
-- random, and sealed itself under the configured key, whose id is `root`.
CREATE TABLE sealing (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    root       TEXT    NOT NULL,
    sealed     TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

-- Of the keys of one purpose, that one signs which has the latest `signs_from` that has come, and is
-- not retired. The purpose `tokens` is for tokens alone, `checkpoints` for checkpoints of the trail.
CREATE TABLE keys (
    kid            TEXT    NOT NULL PRIMARY KEY,
    purpose        TEXT    NOT NULL CHECK (purpose IN ('tokens', 'checkpoints')),
    algorithm      TEXT    NOT NULL CHECK (algorithm IN ('HS256', 'EdDSA')),
    sealed         TEXT,                        -- the key; NULL once nobody needs it any more
    public_key     TEXT,                        -- base64url
    added_at       INTEGER NOT NULL,
    signs_from     INTEGER,                     -- NULL: never promoted
    retired_at     INTEGER,                     -- signs nothing; verifies until its last session has ended
    revoked_at     INTEGER,                     -- verifies nothing
    sessions_ended INTEGER NOT NULL DEFAULT 0,  -- how many sessions ended when it was revoked
    CHECK ((public_key IS NOT NULL) = (algorithm = 'EdDSA')),
    CHECK (purpose = 'tokens' OR algorithm = 'EdDSA'),
    CHECK (revoked_at IS NULL OR retired_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
