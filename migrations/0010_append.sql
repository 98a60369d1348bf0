-- What PostgreSQL needs for it (postgres/0010_append.sql), SQLite has by itself.
SELECT 1;
