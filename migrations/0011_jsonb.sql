-- What PostgreSQL needs a function for (postgres/0011_jsonb.sql), SQLite has by itself.
SELECT 1;
