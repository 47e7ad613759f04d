-- Which store this is, in one row. Beside it the service looks at the server's system identifier and timeline and at
-- the file of the table of users: a dump that is loaded, a promotion and a TRUNCATE make another store of it.

CREATE TABLE store_identity (
    id uuid NOT NULL
);

INSERT INTO store_identity VALUES (gen_random_uuid());
