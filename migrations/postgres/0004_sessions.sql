-- How somebody signed in, and what a session may do beyond its user's grants: the same as
-- ../0004_sessions.sql, which is for SQLite.

ALTER TABLE users ADD COLUMN password_expires_at BIGINT;
ALTER TABLE users ADD COLUMN totp_secret TEXT;
ALTER TABLE users ADD COLUMN totp_confirmed_at BIGINT;
ALTER TABLE users ADD COLUMN totp_last_step BIGINT;

CREATE TABLE recovery_codes (
    org       TEXT COLLATE "C" NOT NULL,
    username  TEXT COLLATE "C" NOT NULL,
    code_hash TEXT NOT NULL,
    used_at   BIGINT,
    PRIMARY KEY (org, username, code_hash),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
);

ALTER TABLE orgs ADD COLUMN second_factor BIGINT NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));

ALTER TABLE sessions ADD COLUMN kind TEXT NOT NULL DEFAULT 'login' CHECK (kind IN ('login', 'machine'));
ALTER TABLE sessions ADD COLUMN name TEXT;
ALTER TABLE sessions ADD COLUMN perms TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN kid TEXT;
ALTER TABLE sessions ADD COLUMN second_factor BIGINT NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));
ALTER TABLE sessions ADD COLUMN last_used_at BIGINT;

CREATE INDEX sessions_of_key ON sessions (kid, expires_at) WHERE ended_at IS NULL;

CREATE TRIGGER limits_of_users_raise_the_version AFTER UPDATE OF password_expires_at ON users
    FOR EACH ROW WHEN ((OLD.password_expires_at IS NULL) <> (NEW.password_expires_at IS NULL))
    EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER limits_of_sessions_raise_the_version AFTER UPDATE OF second_factor ON sessions
    FOR EACH ROW WHEN (OLD.second_factor <> NEW.second_factor)
    EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER limits_of_orgs_raise_the_version AFTER UPDATE OF second_factor ON orgs
    FOR EACH ROW WHEN (OLD.second_factor <> NEW.second_factor)
    EXECUTE FUNCTION raise_access_version();
