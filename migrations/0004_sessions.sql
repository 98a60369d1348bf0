-- How somebody signed in, and what a session may do beyond its user's grants.

-- A password that somebody else set or that was made for a new user: it must be changed before
-- anything else, and cannot be signed in with from this moment on. NULL: the user's own.
ALTER TABLE users ADD COLUMN password_expires_at INTEGER;

-- The second factor (RFC 6238): the secret, sealed; when a code confirmed it; the last time step
-- that was used, which is not taken again.
ALTER TABLE users ADD COLUMN totp_secret TEXT;
ALTER TABLE users ADD COLUMN totp_confirmed_at INTEGER;
ALTER TABLE users ADD COLUMN totp_last_step INTEGER;

CREATE TABLE recovery_codes (
    org       TEXT NOT NULL,
    username  TEXT NOT NULL,
    code_hash TEXT NOT NULL,
    used_at   INTEGER,
    PRIMARY KEY (org, username, code_hash),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
) STRICT, WITHOUT ROWID;

-- Whether the org demands a second factor of those who manage and record pay.
ALTER TABLE orgs ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));

-- A session is opened by a sign-in, or it is a script's: with a name, and minted by a user.
ALTER TABLE sessions ADD COLUMN kind TEXT NOT NULL DEFAULT 'login' CHECK (kind IN ('login', 'machine'));
ALTER TABLE sessions ADD COLUMN name TEXT;
ALTER TABLE sessions ADD COLUMN perms TEXT NOT NULL DEFAULT '[]';   -- JSON array, as the token names them
ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';    -- the address that it was opened from
ALTER TABLE sessions ADD COLUMN kid TEXT;                           -- the key that signed its token
ALTER TABLE sessions ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));
ALTER TABLE sessions ADD COLUMN last_used_at INTEGER;               -- to the minute

CREATE INDEX sessions_of_key ON sessions (kid, expires_at) WHERE ended_at IS NULL;

-- What a session may do depends on these too.
CREATE TRIGGER limits_of_users_raise_the_version AFTER UPDATE OF password_expires_at ON users
WHEN (OLD.password_expires_at IS NULL) <> (NEW.password_expires_at IS NULL)
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER limits_of_sessions_raise_the_version AFTER UPDATE OF second_factor ON sessions
WHEN OLD.second_factor <> NEW.second_factor
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER limits_of_orgs_raise_the_version AFTER UPDATE OF second_factor ON orgs
WHEN OLD.second_factor <> NEW.second_factor
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
