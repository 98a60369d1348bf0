-- What PostgreSQL needs functions for (postgres/0009_json.sql), SQLite has by itself.
SELECT 1;
